"""How a model is cut for the swarm: files laid end to end, pieces, and chunks of whole pieces.

A *piece* is what peers verify and pass on (BitTorrent's unit). A *chunk* is what one node pulls
from the origin under one lease and then announces: its piece hashes become known at that moment,
so the rest of the swarm can have it while the next chunk is still being pulled.

Every node computes the same layout from the same manifest; nothing of it is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest

MIN_PIECE: Final = 64 << 10
MAX_PIECE: Final = 16 << 20
PIECES_WANTED: Final = 4096
"""Pieces of a model, about: few enough for small bitfields, enough to keep many peers busy."""

CHUNKS_WANTED: Final = 32
"""Chunks of a model, at most. Only the last chunk's spreading is not hidden behind the pulling of
the next one, which costs about 1/32 of the time; and every chunk costs a connection a pair of
nodes."""

MIN_CHUNK: Final = 4 << 20
MAX_PIECES: Final = 1 << 17
"""Two TiB in the largest pieces; a manifest that claims more is refused, not laid out."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The bytes ``[start, stop)`` of file number ``file`` of a layout."""

    file: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A model as one row of bytes: its files that are not empty, in the order of their paths.

    Attributes:
        swarm: 64 hex digits: what these bytes are. Nodes with the same one share a swarm.
        files: The files, each with a size above 0.
        piece: Bytes a piece; a power of two.
        pieces_a_chunk: Pieces a chunk; the last chunk may have fewer.
    """

    swarm: str
    files: tuple[FileEntry, ...]
    piece: int
    pieces_a_chunk: int

    @staticmethod
    def of(manifest: Manifest) -> Layout:
        """Lay a manifest out.

        Raises:
            SourceError: A size is unknown, all files are empty, or the model is beyond all bounds.
        """
        for file in manifest.files:
            if file.size is None or file.size < 0:
                raise SourceError(
                    f"{file.path} has no known size, so it cannot be shared between nodes",
                    where=manifest.source,
                    hint="Fetch this source without swarm://",
                )
        files = tuple(sorted((f for f in manifest.files if f.size), key=lambda file: file.path))
        total = sum(size_of(file) for file in files)
        if not total:
            raise SourceError("all files are empty; there is no model", where=manifest.source)
        piece = MIN_PIECE
        while piece < MAX_PIECE and piece * PIECES_WANTED < total:
            piece *= 2
        pieces = -(-total // piece)
        if pieces > MAX_PIECES:
            raise SourceError(
                f"a model of {total:,} bytes is more than a swarm can carry", where=manifest.source
            )
        return Layout(
            swarm=_identity(manifest),
            files=files,
            piece=piece,
            pieces_a_chunk=max(-(-pieces // CHUNKS_WANTED), MIN_CHUNK // piece, 1),
        )

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(size_of(file) for file in self.files)

    @property
    def pieces(self) -> int:
        """Pieces in all."""
        return -(-self.total // self.piece)

    @property
    def chunks(self) -> int:
        """Chunks in all."""
        return -(-self.pieces // self.pieces_a_chunk)

    def pieces_of(self, chunk: int) -> range:
        """The numbers of a chunk's pieces."""
        first = chunk * self.pieces_a_chunk
        return range(first, min(first + self.pieces_a_chunk, self.pieces))

    def span(self, chunk: int) -> tuple[int, int]:
        """A chunk's first byte and the byte after its last, counted over all files."""
        pieces = self.pieces_of(chunk)
        return pieces.start * self.piece, min(pieces.stop * self.piece, self.total)

    def size(self, chunk: int) -> int:
        """A chunk's bytes."""
        start, stop = self.span(chunk)
        return stop - start

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """The pieces of files that the bytes ``[start, stop)`` of the whole row lie in."""
        base = 0
        for number, file in enumerate(self.files):
            size = size_of(file)
            low, high = max(start - base, 0), min(stop - base, size)
            if low < high:
                yield Segment(number, low, high)
            base += size

    def chunks_of(self, number: int) -> range:
        """The chunks that hold bytes of file number ``number``."""
        start = sum(size_of(file) for file in self.files[:number])
        stop = start + size_of(self.files[number])
        width = self.piece * self.pieces_a_chunk
        return range(start // width, -(-stop // width))


def size_of(file: FileEntry) -> int:
    """The size of a file whose size is known."""
    return file.size or 0


def _identity(manifest: Manifest) -> str:
    """The digest of what makes two nodes' bytes the same: revision, paths, sizes, digests."""
    known = [
        manifest.source,
        manifest.id,
        [[f.path, f.size, f.sha256] for f in sorted(manifest.files, key=lambda f: f.path)],
    ]
    return hashlib.sha256(json.dumps(known, separators=(",", ":")).encode()).hexdigest()
