"""What a GGUF header holds, as values; `pilotage.catalog.gguf` reads them from a file."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.errors import ModelError

AGAIN: Final = "Fetch the file again"
"""What to do about a damaged file."""

STRING: Final = 8
ARRAY: Final = 9
BOOL: Final = 7
SCALARS: Final[Mapping[int, struct.Struct]] = MappingProxyType(
    {number: struct.Struct(f"<{code}") for number, code in enumerate("BbHhIif?")}
    | {10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d")}
)
"""GGUF value types of fixed size, by number."""
_U64: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies and how it is stored.

    Attributes:
        name: Such as ``blk.0.attn_q.weight``.
        shape: The fastest-varying dimension first, as in the file.
        type_name: The ggml type, ``Q4_1``; ``type 57`` when it is newer than this reader.
        offset: Bytes from the start of the data section.
        nbytes: Bytes of data; None when the type is unknown.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    nbytes: int | None

    @property
    def values(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GGUFArray:
    """An array of the metadata, decoded when `decoded` is called.

    Attributes:
        length: The number of elements.
    """

    length: int
    _type: int
    _raw: bytes
    _where: str

    def __len__(self) -> int:
        return self.length

    def decoded(self) -> tuple[Any, ...]:
        """The elements: strings, integers, floats or truth values.

        Raises:
            ModelError: A string is not UTF-8.
        """
        if self._type != STRING:
            return tuple(value for (value,) in SCALARS[self._type].iter_unpack(self._raw))
        raw, read, position = self._raw, _U64.unpack_from, 0
        strings: list[str] = []
        for _ in range(self.length):
            start = position + 8
            position = start + read(raw, position)[0]
            strings.append(text_of(raw[start:position], self._where))
        return tuple(strings)


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What a GGUF file says about itself.

    Attributes:
        path: The file.
        version: 2 or 3.
        metadata: Key to value; arrays are `GGUFArray`.
        tensors: In file order.
        data_offset: Bytes from the start of the file to the data section.
        file_bytes: The size of the file.
    """

    path: Path
    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    file_bytes: int

    def text(self, key: str) -> str | None:
        """The string under `key`; None when there is none.

        Raises:
            ModelError: The value is not a string.
        """
        value = self.metadata.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(key, "a string")

    def integer(self, key: str) -> int | None:
        """The integer under `key`; None when there is none.

        Raises:
            ModelError: The value is not an integer, or is negative.
        """
        value = self.metadata.get(key)
        if value is None or (type(value) is int and value >= 0):
            return value
        raise self._wrong(key, "a whole number")

    def integers(self, key: str) -> tuple[int, ...] | None:
        """The integers under `key`, one where the value is a plain integer; None without.

        Raises:
            ModelError: The value is neither an integer nor an array of them, or one is negative.
        """
        value = self.metadata.get(key)
        if not isinstance(value, GGUFArray):
            number = self.integer(key)
            return None if number is None else (number,)
        numbers = value.decoded()
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise self._wrong(key, "a list of whole numbers")
        return numbers

    def texts(self, key: str) -> tuple[str, ...] | None:
        """The array of strings under `key`; None when there is none.

        Raises:
            ModelError: The value is not an array of strings, or one is not UTF-8.
        """
        value = self.metadata.get(key)
        if value is None:
            return None
        if not isinstance(value, GGUFArray):
            raise self._wrong(key, "a list of strings")
        strings = value.decoded()
        if strings and not isinstance(strings[0], str):
            raise self._wrong(key, "a list of strings")
        return strings

    def _wrong(self, key: str, wanted: str) -> ModelError:
        return ModelError(f"damaged: {key} is not {wanted}", where=str(self.path))


def text_of(raw: bytes, where: str) -> str:
    """The text that `raw` holds.

    Raises:
        ModelError: It is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(
            "damaged: the header has text that is not UTF-8", where=where, hint=AGAIN
        ) from error
