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
import os
import struct
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, NoReturn

from pilotage.catalog.gguf_header import (
    AGAIN,
    ARRAY,
    BOOL,
    SCALARS,
    STRING,
    GGUFArray,
    GGUFHeader,
    TensorInfo,
    text_of,
)
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

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


def read_header(path: Path) -> GGUFHeader:
    """Read and check the header of the GGUF file at `path`; the tensors' data is not read.

    Raises:
        ModelError: The file cannot be read, is no GGUF file, is truncated, or is damaged.
        UnsupportedModelError: A GGUF file of a version or byte order that this cannot read.
    """
    where = str(path)
    try:
        if path.exists() and not path.is_file():
            raise ModelError("not a file", where=where, hint="Name the GGUF file itself")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _parse(_Reader(file, size, where), path)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=where) from error


def read_header_of(file: IO[bytes], size: int, path: Path) -> GGUFHeader:
    """The header of a GGUF file that is read from elsewhere, such as over a network.

    Args:
        file: At its beginning; it is read in pieces, and little further than the header.
        size: Of the whole file, bytes.
        path: What errors and the header call it.

    Raises:
        ModelError: It is no GGUF file, truncated, or damaged.
        UnsupportedModelError: A GGUF file of a version or byte order that this cannot read.
    """
    return _parse(_Reader(file, size, str(path)), path)


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
        text = text_of(self.raw(length), self.where)
        if not text or "\0" in text:
            self.damaged("a name that is empty or holds a zero byte")
        return text

    def skip_strings(self, count: int) -> None:
        """Step over so many strings, each behind its length.

        A vocabulary is hundreds of thousands of them, so this does what `take` and `u64` do
        without their calls: a fifth of the time.
        """
        buffer, position, length_at = self._buffer, self.position, _U64.unpack_from
        have = len(buffer)
        for _ in range(count):
            if position + 8 > have:
                self._fill(position + 8)
                have = len(buffer)
            position += 8 + length_at(buffer, position)[0]
            if position > have:
                self._fill(position)
                have = len(buffer)
        self.position = position

    def left(self) -> int:
        return self.size - self.position

    def too_short(self, reason: str) -> NoReturn:
        raise ModelError(
            f"truncated or damaged: the header has {reason} in {self.left():,} bytes",
            where=self.where,
            hint=AGAIN,
        )

    def damaged(self, reason: str) -> NoReturn:
        raise ModelError(f"damaged: the header has {reason}", where=self.where, hint=AGAIN)

    def _fill(self, end: int) -> None:
        if end > self._limit:
            if end > self.size:
                raise ModelError(
                    f"truncated or damaged: the header needs at least {end:,} bytes, "
                    f"the file has {self.size:,}",
                    where=self.where,
                    hint=AGAIN,
                )
            self.damaged(f"more than {MAX_HEADER_BYTES:,} bytes")
        wanted = min(self._limit, end + _READ_BYTES) - len(self._buffer)
        self._buffer += self._file.read(wanted)
        if len(self._buffer) < end:
            raise ModelError("the file shrank while it was read", where=self.where, hint=AGAIN)


def _parse(reader: _Reader, path: Path) -> GGUFHeader:
    version = _preamble(reader)
    tensor_count = reader.u64()
    entry_count = reader.u64()
    room = reader.left()
    if entry_count > min(MAX_ENTRIES, room // _LEAST_ENTRY_BYTES):
        reader.too_short(f"{entry_count:,} metadata entries")
    if tensor_count > min(MAX_TENSORS, room // _LEAST_TENSOR_BYTES):
        reader.too_short(f"{tensor_count:,} tensors")
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
            hint=AGAIN,
        )
    return GGUFHeader(path, version, MappingProxyType(metadata), tensors, data_offset, reader.size)


def _preamble(reader: _Reader) -> int:
    if reader.size == 0:
        raise ModelError("the file is empty", where=reader.where, hint=AGAIN)
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
    if kind == STRING:
        return text_of(reader.raw(reader.u64()), reader.where)
    if kind == ARRAY:
        return _array(reader)
    return _scalar(reader, kind)


def _scalar(reader: _Reader, kind: int) -> Any:
    layout = SCALARS.get(kind)
    if layout is None:
        reader.damaged(f"a value of the unknown type {kind}")
    raw = reader.raw(layout.size)
    if kind == BOOL and raw not in {b"\0", b"\1"}:
        reader.damaged("a truth value that is neither 0 nor 1")
    return layout.unpack(raw)[0]


def _array(reader: _Reader) -> GGUFArray:
    kind, length = reader.u32(), reader.u64()
    if kind == STRING:
        if length > reader.left() // 8:
            reader.too_short(f"a list of {length:,} strings")
        start = reader.position
        reader.skip_strings(length)
        return GGUFArray(length, kind, reader.since(start), reader.where)
    layout = SCALARS.get(kind)
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
