"""A chunk's torrent: what libtorrent needs to have the chunk from peers and to trust the bytes.

Every chunk is a small private torrent of its own, because a torrent's piece hashes are fixed when
it is made, and a chunk's hashes are known only once somebody has pulled it. All these torrents
describe the *whole* model's files; a chunk's torrent has true hashes for the chunk's pieces and
zeros elsewhere, where no piece is ever asked for. So all of them write into the same files at
their final places: nothing is assembled or copied afterwards, and no disk is needed twice.

Only a chunk's hashes travel (`ChunkRecord`); each node makes the torrent itself from the layout.
The torrent's name holds a secret derived from the fleet's token, and with it the info-hash that a
peer must know: who has not the token cannot ask a node for bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import msgspec

from pilotage.errors import SourceError
from pilotage.fetch.swarm.layout import Layout, size_of

HASH: Final = 20
"""Bytes a piece hash (SHA-1, as BitTorrent v1 has it; libtorrent did not connect peers of a
torrent that was v2 only). What these let through is still compared with the manifest's sha256."""


class ChunkRecord(msgspec.Struct, frozen=True):
    """A chunk that somebody has pulled.

    Attributes:
        chunk: Its number.
        hashes: The SHA-1 digests of its pieces, one after another.
    """

    chunk: int
    hashes: bytes


def record_of(layout: Layout, chunk: int, read: Callable[[int, int], bytes]) -> ChunkRecord:
    """Hash a chunk's pieces.

    Args:
        layout: The model's.
        chunk: Its number.
        read: Gives the bytes ``[start, stop)`` of the whole row.
    """
    hashes = bytearray()
    for piece in layout.pieces_of(chunk):
        start = piece * layout.piece
        data = read(start, min(start + layout.piece, layout.total))
        hashes += hashlib.sha1(data, usedforsecurity=False).digest()
    return ChunkRecord(chunk, bytes(hashes))


def checked_record(layout: Layout, record: ChunkRecord) -> ChunkRecord:
    """The record, if it fits the layout.

    Raises:
        SourceError: It names a chunk that is not there, or has too few or too many hashes.
    """
    if not 0 <= record.chunk < layout.chunks or len(record.hashes) != HASH * len(
        layout.pieces_of(record.chunk)
    ):
        raise SourceError("a peer announced a chunk that does not fit the model")
    return record


def torrent(layout: Layout, record: ChunkRecord, secret: bytes) -> bytes:
    """The ``.torrent`` file of a chunk: the same bytes on every node.

    Args:
        layout: The model's.
        record: The chunk's hashes, checked.
        secret: The fleet's token; empty where there is none.
    """
    pieces = layout.pieces_of(record.chunk)
    name = hmac.new(secret, f"{layout.swarm}/{record.chunk}".encode(), hashlib.sha256).hexdigest()
    info = {
        b"files": [
            {b"length": size_of(file), b"path": [file_name(number).encode()]}
            for number, file in enumerate(layout.files)
        ],
        b"name": name.encode(),
        b"piece length": layout.piece,
        b"pieces": b"".join(
            (
                bytes(HASH * pieces.start),
                record.hashes,
                bytes(HASH * (layout.pieces - pieces.stop)),
            )
        ),
        b"private": 1,
    }
    return bencode({b"info": info})


def file_name(number: int) -> str:
    """A file's name inside the torrents; where it lies on the disk is every node's own matter."""
    return f"f{number:05d}"


def bencode(value: int | bytes | list[object] | dict[bytes, object] | object) -> bytes:
    """BitTorrent's encoding (BEP 3) of integers, byte strings, lists and dictionaries."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(bencode(item) for item in value) + b"e"
        case dict():
            body = b"".join(bencode(key) + bencode(value[key]) for key in sorted(value))
            return b"d" + body + b"e"
        case _:
            raise TypeError(f"{type(value).__name__} cannot be bencoded")
