"""The durable record of what has arrived, so that a killed transfer goes on where it was.

A text file. The first line pins the manifest; every other line says that some bytes of one file
are on disk, and what they were::

    1f0c9a77 {"journal": 1, "source": "hf://…", "id": "9eb2daa…", "manifest": "<sha256>"}
    8d2e0b1c [0, 0, 1048576, 3735928559]        file, start, stop, CRC-32 of those bytes
    5521aa90 [0, 0, 2097152, 195948557]         the same part, further: it takes the place

Each line begins with its own CRC-32, so that a torn or garbled line is known and passed over. A
line is written after its bytes were. Nothing is flushed to the disk on the way: against a killed
process the page cache is enough, and what a crashed machine lost is found by the checksums.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from pilotage.fetch.manifest import Manifest
from pilotage.fetch.transfer.plan import Extent

_FORMAT: Final = 1
_LONGEST: Final = 1 << 16
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """The journal of one transfer. Safe to use from many threads.

    The records of another manifest (another revision, other sizes or digests) are not read: the
    journal begins anew. Records that point outside their file, or overlap others, are passed over.

    Args:
        path: The journal's file; made when it is not there.
        manifest: What is transferred.

    Raises:
        OSError: It cannot be read or written.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._header = _line(
            {
                "journal": _FORMAT,
                "source": manifest.source,
                "id": manifest.id,
                "manifest": _pin(manifest),
            }
        )
        self._sizes = [file.size or 0 for file in manifest.files]
        self._lock = threading.Lock()
        self._extents: list[dict[int, Extent]] = [{} for _ in self._sizes]
        self._fd = -1
        self._read()
        self._rewrite()

    def extents(self, index: int) -> list[Extent]:
        """What is on disk of the manifest's file number `index`, in order, without overlaps."""
        with self._lock:
            return _apart(self._extents[index].values())

    def add(self, index: int, extent: Extent) -> None:
        """Record bytes that were written; a record with the same start takes the former's place.

        Raises:
            OSError: The disk is full or broken.
        """
        line = _line([index, extent.start, extent.stop, extent.crc])
        with self._lock:
            self._extents[index][extent.start] = extent
            if self._fd >= 0:
                _write(self._fd, line)

    def replace(self, index: int, extents: Iterable[Extent]) -> None:
        """Have `extents` alone be what is on disk of a file.

        Raises:
            OSError: The disk is full or broken.
        """
        with self._lock:
            self._extents[index] = {extent.start: extent for extent in extents}
            if self._fd >= 0:
                self._rewrite()

    def close(self) -> None:
        """Stop writing; later records are dropped."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _read(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        with os.fdopen(descriptor, "rb") as file:
            if file.readline(_LONGEST) != self._header:
                return
            while line := file.readline(_LONGEST):
                self._take(_value(line))

    def _take(self, record: Any) -> None:
        if not isinstance(record, list) or [type(item) for item in record] != [int] * 4:
            return
        index, start, stop, crc = record
        if 0 <= index < len(self._sizes) and 0 <= start < stop <= self._sizes[index]:
            self._extents[index][start] = Extent(start, stop, crc)

    def _rewrite(self) -> None:
        """Write the file anew with what counts, in one rename."""
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, _FLAGS | os.O_EXCL, 0o600)
        try:
            lines = [
                _line([index, extent.start, extent.stop, extent.crc])
                for index, known in enumerate(self._extents)
                for extent in _apart(known.values())
            ]
            _write(descriptor, self._header + b"".join(lines))
            beside.rename(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = descriptor


def _apart(extents: Iterable[Extent]) -> list[Extent]:
    """`extents` in order; of those that overlap, the one that begins first."""
    kept: list[Extent] = []
    for extent in sorted(extents, key=lambda each: each.start):
        if not kept or extent.start >= kept[-1].stop:
            kept.append(extent)
    return kept


def _pin(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest.as_dict(), sort_keys=True).encode()).hexdigest()


def _line(value: dict[str, Any] | Sequence[int]) -> bytes:
    text = json.dumps(value).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _value(line: bytes) -> Any:
    """What a line says; None when it is not whole."""
    checksum, _, text = line.partition(b" ")
    text, newline, _ = text.partition(b"\n")
    try:
        if newline and int(checksum, 16) == zlib.crc32(text):
            return json.loads(text)
    except (ValueError, RecursionError):
        pass
    return None


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
