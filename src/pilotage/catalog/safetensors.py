"""Headers of safetensors files: every tensor's type and shape, without its data.

A file is 8 bytes of little-endian header length, a JSON header, and the data; the header names
each tensor's type, shape and place. Source: the format's README, huggingface/safetensors.
"""

from __future__ import annotations

import json
import struct
from math import prod
from typing import IO, Any, Final

from pilotage.errors import ModelError

MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own bound."""

_FETCH_AGAIN: Final = "The file may be damaged: fetch it again"


def read_safetensors_header(file: IO[bytes], size: int, where: str) -> dict[str, dict[str, Any]]:
    """The tensors of a file by name: ``dtype``, ``shape``, ``data_offsets``.

    Args:
        file: At its beginning; nothing behind the header is read.
        size: Of the whole file, bytes.
        where: What errors call it.

    Raises:
        ModelError: It is no safetensors file, damaged, or cut short.
        OSError: It cannot be read.
    """
    raw = _exactly(file, 8)
    length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else -1
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise ModelError("no safetensors file", where=where, hint=_FETCH_AGAIN)
    try:
        header = json.loads(_exactly(file, length))
    except (ValueError, RecursionError) as error:
        raise ModelError("damaged: no readable header", where=where, hint=_FETCH_AGAIN) from error
    if not isinstance(header, dict):
        raise ModelError("damaged: no readable header", where=where, hint=_FETCH_AGAIN)
    header.pop("__metadata__", None)
    if not all(_sound(entry) for entry in header.values()):
        raise ModelError("damaged: a tensor without place", where=where, hint=_FETCH_AGAIN)
    needed = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size < needed:
        raise ModelError(
            f"cut short: {size:,} of {needed:,} bytes", where=where, hint="Fetch it again"
        )
    return header


def count_values(header: dict[str, dict[str, Any]]) -> int:
    """Values of all tensors of a header: the parameters, where nothing is packed."""
    return sum(prod(entry["shape"]) for entry in header.values())


def _exactly(file: IO[bytes], count: int) -> bytes:
    parts, left = [], count
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _sound(entry: object) -> bool:
    match entry:
        case {"dtype": str(), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            return 0 <= begin <= end and all(type(n) is int and n >= 0 for n in shape)
    return False
