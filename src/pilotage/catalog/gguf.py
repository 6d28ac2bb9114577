"""The header of a GGUF file: metadata and the list of tensors, without their data.

The format (``docs/gguf.md`` of the ggml project), little-endian throughout::

    "GGUF"  u32 version  u64 tensors  u64 metadata entries
    metadata entry: string key, u32 value type, value
    tensor:         string name, u32 dimensions, u64 for each, u32 ggml type, u64 offset
    padding to general.alignment (default 32), then the tensors' data

A file is hostile input: every count is checked against the bytes that are there before anything
is made of it, so a lying header costs neither time nor memory. Large arrays (the vocabulary) are
kept as raw bytes and decoded when asked for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, NoReturn

from pilotage.catalog.tensor_types import TENSOR_TYPES
from pilotage.errors import ModelError, UnsupportedModelError

__all__ = ["GGUFArray", "GGUFHeader", "TensorInfo", "read_header"]

MAX_HEADER_BYTES: Final = 256 << 20
"""No real header comes near: the largest vocabularies take about 20 MB."""
MAX_ENTRIES: Final = 1 << 16
MAX_TENSORS: Final = 1 << 17
MAX_NAME_BYTES: Final = 1 << 16

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_READ_BYTES: Final = 4 << 20
_MAX_DIMENSIONS: Final = 4
_MAX_ALIGNMENT: Final = 1 << 20
_LEAST_ENTRY_BYTES: Final = 8 + 4 + 1
_LEAST_TENSOR_BYTES: Final = 8 + 4 + 4 + 8

_STRING: Final = 8
_ARRAY: Final = 9
_BOOL: Final = 7
_SCALARS: Final[Mapping[int, struct.Struct]] = MappingProxyType(
    {number: struct.Struct(f"<{code}") for number, code in enumerate("BbHhIif?")}
    | {10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d")}
)
_U32: Final = struct.Struct("<I")
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
        if self._type != _STRING:
            return tuple(value for (value,) in _SCALARS[self._type].iter_unpack(self._raw))
        raw, read, position = self._raw, _U64.unpack_from, 0
        strings: list[str] = []
        for _ in range(self.length):
            start = position + 8
            position = start + read(raw, position)[0]
            strings.append(_text(raw[start:position], self._where))
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


def read_header(path: Path) -> GGUFHeader:
    """Read and check the header of the GGUF file at `path`; the tensors' data is not read.

    Raises:
        ModelError: The file cannot be read, is no GGUF file, is truncated, or is damaged.
        UnsupportedModelError: A GGUF file of a version or byte order that this cannot read.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return _parse(_Reader(file, size, where), path)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=where) from error


class _Reader:
    """Reads a file front to back in large pieces and refuses to go past its end."""

    def __init__(self, file: IO[bytes], size: int, where: str) -> None:
        self.size = size
        self.where = where
        self.position = 0
        self._file = file
        self._limit = min(size, MAX_HEADER_BYTES)
        self._buffer = bytearray()

    def take(self, count: int) -> int:
        """Make sure of `count` bytes and step over them; returns where in the buffer they start."""
        start = self.position
        end = start + count
        if end > len(self._buffer):
            self._fill(end)
        self.position = end
        return start

    def raw(self, count: int) -> bytes:
        start = self.take(count)
        return bytes(memoryview(self._buffer)[start : start + count])

    def since(self, start: int) -> bytes:
        return bytes(memoryview(self._buffer)[start : self.position])

    def u32(self) -> int:
        start = self.take(4)
        return int(_U32.unpack_from(self._buffer, start)[0])

    def u64(self) -> int:
        start = self.take(8)
        return int(_U64.unpack_from(self._buffer, start)[0])

    def name(self) -> str:
        length = self.u64()
        if length > MAX_NAME_BYTES:
            self.damaged(f"a name of {length:,} bytes")
        text = _text(self.raw(length), self.where)
        if not text or "\0" in text:
            self.damaged("a name that is empty or holds a zero byte")
        return text

    def left(self) -> int:
        return self.size - self.position

    def damaged(self, reason: str) -> NoReturn:
        raise ModelError(f"damaged: the header has {reason}", where=self.where, hint=_AGAIN)

    def _fill(self, end: int) -> None:
        if end > self._limit:
            if end > self.size:
                raise ModelError(
                    f"truncated or damaged: the header needs at least {end:,} bytes, "
                    f"the file has {self.size:,}",
                    where=self.where,
                    hint=_AGAIN,
                )
            self.damaged(f"more than {MAX_HEADER_BYTES:,} bytes")
        wanted = min(self._limit, end + _READ_BYTES) - len(self._buffer)
        self._buffer += self._file.read(wanted)
        if len(self._buffer) < end:
            raise ModelError("the file shrank while it was read", where=self.where, hint=_AGAIN)


_AGAIN: Final = "Fetch the file again"


def _parse(reader: _Reader, path: Path) -> GGUFHeader:
    version = _preamble(reader)
    tensor_count = reader.u64()
    entry_count = reader.u64()
    room = reader.left()
    if entry_count > min(MAX_ENTRIES, room // _LEAST_ENTRY_BYTES):
        reader.damaged(f"{entry_count:,} metadata entries in {room:,} bytes")
    if tensor_count > min(MAX_TENSORS, room // _LEAST_TENSOR_BYTES):
        reader.damaged(f"{tensor_count:,} tensors in {room:,} bytes")
    metadata: dict[str, Any] = {}
    for _ in range(entry_count):
        key = reader.name()
        if key in metadata:
            reader.damaged(f"the key {key[:80]!r} twice")
        metadata[key] = _value(reader)
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not (
        0 < alignment <= _MAX_ALIGNMENT and alignment & (alignment - 1) == 0
    ):
        reader.damaged("an alignment that is not a power of two")
    tensors = tuple(_tensor(reader, alignment) for _ in range(tensor_count))
    if len({tensor.name for tensor in tensors}) != len(tensors):
        reader.damaged("two tensors of one name")
    data_offset = -(-reader.position // alignment) * alignment
    promised = data_offset + max((t.offset + (t.nbytes or 0) for t in tensors), default=0)
    if tensors and promised > reader.size:
        raise ModelError(
            f"truncated: the header promises {promised:,} bytes, the file has {reader.size:,}",
            where=reader.where,
            hint=_AGAIN,
        )
    return GGUFHeader(path, version, MappingProxyType(metadata), tensors, data_offset, reader.size)


def _preamble(reader: _Reader) -> int:
    if reader.size == 0:
        raise ModelError("the file is empty", where=reader.where, hint=_AGAIN)
    magic = reader.raw(min(4, reader.size))
    if magic != _MAGIC:
        raise ModelError(
            f"not a GGUF file: it begins with {magic!r} instead of {_MAGIC!r}{_guess(magic)}",
            where=reader.where,
        )
    version = reader.u32()
    if version in _VERSIONS:
        return version
    if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
        reason = "a big-endian GGUF file, made for another kind of processor"
    else:
        reason = f"GGUF version {version}; versions 2 and 3 can be read"
    raise UnsupportedModelError(
        reason, where=reader.where, hint="Convert it with llama.cpp's current tools"
    )


def _guess(magic: bytes) -> str:
    """What a file that is no GGUF file most likely is, for the message."""
    known = {
        b"vers": " (a Git LFS pointer: run `git lfs pull` to get the file itself)",
        b"<!do": " (a web page was saved instead of the model)",
        b"<!DO": " (a web page was saved instead of the model)",
        b"<htm": " (a web page was saved instead of the model)",
        b"PK\x03\x04": " (a zip archive)",
    }
    return known.get(magic, "")


def _value(reader: _Reader) -> Any:
    kind = reader.u32()
    if kind == _STRING:
        return _text(reader.raw(reader.u64()), reader.where)
    if kind == _ARRAY:
        return _array(reader)
    return _scalar(reader, kind)


def _scalar(reader: _Reader, kind: int) -> Any:
    layout = _SCALARS.get(kind)
    if layout is None:
        reader.damaged(f"a value of the unknown type {kind}")
    raw = reader.raw(layout.size)
    if kind == _BOOL and raw not in {b"\0", b"\1"}:
        reader.damaged("a truth value that is neither 0 nor 1")
    return layout.unpack(raw)[0]


def _array(reader: _Reader) -> GGUFArray:
    kind, length = reader.u32(), reader.u64()
    if kind == _STRING:
        if length > reader.left() // 8:
            reader.damaged(f"a list of {length:,} strings in {reader.left():,} bytes")
        start = reader.position
        for _ in range(length):
            reader.take(reader.u64())
        return GGUFArray(length, kind, reader.since(start), reader.where)
    layout = _SCALARS.get(kind)
    if layout is None:
        reader.damaged(f"a list of values of the unknown type {kind}")
    return GGUFArray(length, kind, reader.raw(length * layout.size), reader.where)


def _tensor(reader: _Reader, alignment: int) -> TensorInfo:
    name = reader.name()
    dimensions = reader.u32()
    if dimensions > _MAX_DIMENSIONS:
        reader.damaged(f"a tensor of {dimensions:,} dimensions ({name[:80]!r})")
    shape = tuple(reader.u64() for _ in range(dimensions))
    type_id, offset = reader.u32(), reader.u64()
    if offset % alignment:
        reader.damaged(f"a tensor at an unaligned offset ({name[:80]!r})")
    stored = TENSOR_TYPES.get(type_id)
    values = math.prod(shape)
    if values >= 1 << 63:
        reader.damaged(f"a tensor of {values:,} values ({name[:80]!r})")
    if stored is None:
        return TensorInfo(name, shape, f"type {type_id}", offset, None)
    if (shape[0] if shape else 1) % stored.block_values:
        reader.damaged(f"a {stored.name} tensor whose rows are not whole blocks ({name[:80]!r})")
    nbytes = values // stored.block_values * stored.block_bytes
    return TensorInfo(name, shape, stored.name, offset, nbytes)


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(
            "damaged: the header has text that is not UTF-8", where=where, hint=_AGAIN
        ) from error
