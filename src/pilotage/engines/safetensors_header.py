"""What a folder's safetensors files hold, read from their headers alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog import read_safetensors_header
from pilotage.errors import ModelError

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
    try:
        with path.open("rb") as file:
            return read_safetensors_header(file, path.stat().st_size, str(path))
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
