"""What safetensors files hold, read from their headers alone.

A file is 8 bytes of little-endian header length, a JSON header, and the data; the header names
each tensor's type, shape and place. Source: the format's README, huggingface/safetensors.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.errors import ModelError

_MAX_HEADER: Final = 100_000_000
"""The format's own bound."""

_FETCH_AGAIN: Final = "The file may be damaged: fetch it again"


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """The tensors of a model folder.

    Attributes:
        values: How many values are stored in which type (``F32``, ``BF16``, ``I8``, …).
        nbytes: Their bytes.
        matrices: Of all values, those in floating-point matrices inside layers: what int8 and
            4-bit quantisation shrinks.
    """

    values: Mapping[str, int]
    nbytes: int
    matrices: int

    @property
    def main_type(self) -> str:
        """The type that holds most values."""
        return max(self.values, key=lambda kind: self.values[kind])

    @staticmethod
    def read(folder: Path) -> StoredTensors:
        """Look at every safetensors file of a folder.

        Raises:
            ModelError: A file is missing (by the index), cut short, or is no safetensors file.
        """
        values: Counter[str] = Counter()
        nbytes = matrices = 0
        for path in weight_files(folder):
            for name, entry in _header(path).items():
                count = prod(entry["shape"])
                values[entry["dtype"]] += count
                begin, end = entry["data_offsets"]
                nbytes += end - begin
                if len(entry["shape"]) == 2 and ".layers." in name and "F" in entry["dtype"]:
                    matrices += count
        if not values:
            raise ModelError("the weights hold no tensors", where=str(folder), hint=_FETCH_AGAIN)
        return StoredTensors(MappingProxyType(dict(values)), nbytes, matrices)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a model: those of the index, or all there are.

    Raises:
        ModelError: There are none, or the index names one that is missing.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        whole = folder / "model.safetensors"
        found = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
        if not found:
            raise ModelError("the folder holds no safetensors weights", where=str(folder))
        return found
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
        paths = sorted(folder / Path(name).name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError("damaged: no readable index", where=str(index)) from error
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelError(
            f"incomplete: {missing[0]} is missing"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
            where=str(folder),
            hint="Fetch the model again, whole",
        )
    return paths


def _header(path: Path) -> dict[str, dict[str, Any]]:
    where = str(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            raw = file.read(8)
            length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else -1
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ModelError("no safetensors file", where=where, hint=_FETCH_AGAIN)
            header = json.loads(file.read(length))
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=where) from error
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


def _sound(entry: object) -> bool:
    match entry:
        case {"dtype": str(), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            return 0 <= begin <= end and all(type(n) is int and n >= 0 for n in shape)
    return False
