"""Reading safetensors files into numpy arrays.

The format (https://huggingface.co/docs/safetensors, read 2026-11): eight bytes with the header's
length, little-endian; the header, a JSON object of name to ``dtype``, ``shape`` and
``data_offsets``; the data. The library's numpy side cannot read bfloat16, which this one widens
to float32, so that encoders need no torch. Files are mapped, not read: a tensor's pages come in
when it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import ModelError

_MAX_HEADER: Final = 100_000_000
_TYPES: Final[Mapping[str, str]] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


class SafetensorsFiles(Mapping[str, NDArray[Any]]):
    """The tensors of one or several safetensors files, by name.

    Floating-point tensors come as float32, whatever they are stored in.

    Args:
        paths: The files; a model's shards together.

    Raises:
        ModelError: A file is missing, cut, or contradicts itself.
    """

    def __init__(self, *paths: Path) -> None:
        self._entries: dict[str, tuple[str, tuple[int, ...], NDArray[np.uint8]]] = {}
        for path in paths:
            self._entries.update(_read_header(path))

    @staticmethod
    def of_folder(folder: Path) -> SafetensorsFiles:
        """The folder's own weights: every ``*.safetensors`` directly in it.

        Raises:
            ModelError: There is none, or one is damaged.
        """
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
            raise ModelError(
                "the folder holds no *.safetensors",
                where=str(folder),
                hint="Pickled weights (*.bin, *.pt) are never opened, since they can run code; "
                "convert them to safetensors"
                if pickled
                else "Download the model again",
            )
        return SafetensorsFiles(*paths)

    def __getitem__(self, name: str) -> NDArray[Any]:
        kind, shape, data = self._entries[name]
        array = data.view(_TYPES[kind]).reshape(shape)
        if kind == "BF16":  # the upper half of a float32
            return (array.astype("<u4") << 16).view("<f4")
        return array.astype(np.float32) if kind in ("F64", "F16") else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without touching its data."""
        return self._entries[name][1]


def _read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...], NDArray[np.uint8]]]:
    where = str(path)
    try:
        size = path.stat().st_size
        mapped = np.memmap(path, dtype=np.uint8, mode="r") if size >= 8 else np.empty(0, np.uint8)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=where) from error
    length = int.from_bytes(mapped[:8].tobytes(), "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER):
        raise ModelError("damaged: no safetensors header", where=where, hint="Download it again")
    data = np.asarray(mapped[8 + length :])
    try:
        header = json.loads(mapped[8 : 8 + length].tobytes())
        return {
            name: _entry(name, entry, data, where)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"damaged: a bad safetensors header ({str(error)[:100]})", where=where
        ) from error


def _entry(
    name: str, entry: Mapping[str, Any], data: NDArray[np.uint8], where: str
) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if kind not in _TYPES:
        raise ModelError(
            f"the tensor {name} is stored as {kind}",
            where=where,
            hint="Float and integer tensors of 8 bits and more can be read, quantised ones cannot",
        )
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"{name} has impossible numbers")
    if end > len(data):
        raise ModelError(
            f"truncated: the tensor {name} ends {end - len(data):,} bytes after the file",
            where=where,
            hint="Download it again",
        )
    if end - begin != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise ValueError(f"{name} is not as long as its shape says")
    return kind, shape, data[begin:end]
