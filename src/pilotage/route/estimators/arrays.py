"""Arrays inside JSON: compressed, as base64, and bounded when they are read back."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_BYTES: Final = 1 << 26
"""Of one array when unpacked: a damaged or hostile file must not fill the memory."""

_KINDS: Final = ("<f4", "<f2", "|i1", "<i2", "<i4", "<u2")


def packed(array: NDArray[Any], kind: str) -> dict[str, Any]:
    """An array as JSON-ready data, of one of the kinds that `unpacked` takes."""
    data = np.ascontiguousarray(array, kind)
    text = base64.b64encode(zlib.compress(data.tobytes(), 6)).decode("ascii")
    return {"kind": kind, "shape": list(data.shape), "data": text}


def unpacked(data: Mapping[str, Any]) -> NDArray[Any]:
    """The array that `packed` wrote.

    Raises:
        ValueError: It is damaged, of another kind, or too large.
        KeyError: Likewise.
        TypeError: Likewise.
    """
    kind = data["kind"]
    if kind not in _KINDS:
        raise ValueError("an array of an unknown kind")
    shape = [int(side) for side in data["shape"]]
    size = int(np.prod([max(0, side) for side in shape], dtype=object)) * np.dtype(kind).itemsize
    if size > MOST_BYTES:
        raise ValueError("an array that is too large")
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(base64.b64decode(data["data"], validate=True), size + 1)
    except zlib.error as error:
        raise ValueError("a damaged array") from error
    if len(raw) != size:
        raise ValueError("an array of another size than it says")
    return np.frombuffer(raw, kind).reshape(shape)
