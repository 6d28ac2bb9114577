"""A chunk from the origin, into its place in the files."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import Origin, TransientError
from pilotage.fetch.retry import Retry
from pilotage.fetch.swarm.layout import Layout, Segment
from pilotage.fetch.swarm.metainfo import ChunkRecord, record_of

_PART: Final = 8 << 20
_BUFFER: Final = 256 << 10


class OriginPuller:
    """Pulls chunks, a few parts at a time.

    Args:
        layout: The model's.
        paths: Where each of its files lies, at its full size.
        origin: Who has the bytes.
        retry: The policy for its failures.
        streams: Parts at a time.
    """

    def __init__(
        self, layout: Layout, paths: Sequence[Path], origin: Origin, retry: Retry, streams: int
    ) -> None:
        self._layout = layout
        self._paths = paths
        self._origin = origin
        self._retry = retry
        self._streams = streams
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.received = 0

    def pull(self, chunk: int) -> ChunkRecord:
        """Write the chunk's bytes and hash its pieces.

        Raises:
            SourceError: The origin does not give them.
            OSError: The disk failed.
        """
        start, stop = self._layout.span(chunk)
        parts = [
            Segment(segment.file, low, min(low + _PART, segment.stop))
            for segment in self._layout.segments(start, stop)
            for low in range(segment.start, segment.stop, _PART)
        ]
        with ThreadPoolExecutor(min(self._streams, len(parts)), "swarm-pull") as pool:
            for done in [pool.submit(self._part, part) for part in parts]:
                done.result()
        return record_of(self._layout, chunk, self._read)

    def stop(self) -> None:
        """End a pull that is under way, at its next bytes."""
        self._stopped.set()

    def _part(self, part: Segment) -> None:
        file = self._layout.files[part.file]
        position = part.start

        def attempt() -> None:
            nonlocal position
            before = position
            buffer = memoryview(bytearray(min(_BUFFER, part.stop - part.start)))
            try:
                with (
                    self._paths[part.file].open("r+b", buffering=0) as target,
                    self._origin.read(file, position, part.stop) as body,
                ):
                    while count := body.readinto(buffer[: part.stop - position]):
                        if self._stopped.is_set():
                            raise SourceError("stopped", where=self._origin.name)
                        os.pwrite(target.fileno(), buffer[:count], position)
                        position += count
                        with self._lock:
                            self.received += count
            except TransientError as error:
                error.received = position > before
                raise
            if position < part.stop:
                raise TransientError(
                    f"{file.path} ended early", where=self._origin.name, received=position > before
                )

        self._retry.call(attempt, origin=self._origin.name)

    def _read(self, start: int, stop: int) -> bytes:
        found = bytearray()
        for segment in self._layout.segments(start, stop):
            with self._paths[segment.file].open("rb", buffering=0) as file:
                file.seek(segment.start)
                while (left := segment.stop - file.tell()) > 0:
                    data = file.read(left)
                    if not data:
                        raise OSError(f"{self._paths[segment.file].name} became shorter")
                    found += data
        return bytes(found)


def allocate(path: Path, file: FileEntry) -> None:
    """Make a file of its full size, without room on the disk yet.

    Raises:
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as made:
        made.truncate(file.size or 0)
