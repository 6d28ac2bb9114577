"""Which byte ranges of a file are on disk, and into which parts the rest is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pilotage.fetch.transfer.options import MIB

SMALLEST: Final = 8 * MIB
LARGEST: Final = 64 * MIB
MOST_PARTS: Final = 10_000
"""S3 knows no more parts in an object either."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes ``[start, stop)`` of a file, which are on disk.

    Attributes:
        start: First byte.
        stop: The byte after the last.
        crc: CRC-32 of the bytes as they were received. It finds what a crash left unwritten, at a
            fifth of sha256's cost; that the bytes are the right ones, the file's digest says.
    """

    start: int
    stop: int
    crc: int


def part_size(size: int, threads: int) -> int:
    """Bytes a part, for a file of `size` bytes.

    Eight parts a thread keep the threads busy to the end and the hash close behind them, within 8
    and 64 MiB: below that, requests cost more than they bring; above it, a kill or a corrupt part
    costs much. A file of 16 MiB or more has at least two parts, none has more than 10,000.
    """
    wanted = max(size // (8 * threads), min(size // threads, 2 * SMALLEST))
    bounded = max(SMALLEST, min(wanted // MIB * MIB, LARGEST))
    return max(bounded, -(-size // (MOST_PARTS * MIB)) * MIB)


def step(part: int, threads: int, buffer: int) -> int:
    """Bytes that are received, written and journalled at once.

    A kill costs each thread at most one step, and all of them together half a part.
    """
    return max(1, min(buffer, part // (2 * threads)))


def gaps(extents: Iterable[Extent], size: int) -> Iterator[tuple[int, int]]:
    """The ranges ``[start, stop)`` of a file that are missing; `extents` are sorted."""
    at = 0
    for extent in extents:
        if extent.start > at:
            yield at, extent.start
        at = extent.stop
    if at < size:
        yield at, size


def parts(extents: Iterable[Extent], size: int, part: int) -> list[tuple[int, int]]:
    """The missing ranges of a file, cut into parts of at most `part` bytes, in order."""
    return [
        (at, min(at + part, stop))
        for start, stop in gaps(extents, size)
        for at in range(start, stop, part)
    ]
