"""Parts of a source's files, read without fetching them: headers, where weights are large."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import Origin, TransientError
from pilotage.fetch.retry import Retry
from pilotage.fetch.sources import RangedSource, parse_source

_BLOCK: Final = 256 << 10
_LARGEST_BLOCK: Final = 8 << 20


class PartialFile(io.RawIOBase):
    """A remote file, read from its beginning on; blocks grow, so that short heads cost little.

    Args:
        file: With its size.
        origin: Where its bytes come from.
        retry: How failures are waited out.

    Attributes:
        fetched: Bytes that have come over the network.
    """

    def __init__(self, file: FileEntry, origin: Origin, retry: Retry) -> None:
        super().__init__()
        if file.size is None:
            raise SourceError("does not say how long it is", where=file.path)
        self.size = file.size
        self.fetched = 0
        self._file, self._origin, self._retry = file, origin, retry
        self._block = _BLOCK
        self._ahead = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]
        """Read on; see `io.RawIOBase.readinto`.

        Raises:
            SourceError: The bytes could not be had.
        """
        if not self._ahead and self.fetched < self.size:
            self._ahead = self._next()
        part = self._ahead[: len(buffer)]
        buffer[: len(part)] = part
        self._ahead = self._ahead[len(part) :]
        return len(part)

    def _next(self) -> bytes:
        start = self.fetched
        stop = min(self.size, start + self._block)
        found = self._retry.call(lambda: self._part(start, stop), origin=self._origin.name)
        self.fetched = stop
        self._block = min(_LARGEST_BLOCK, 2 * self._block)
        return found

    def _part(self, start: int, stop: int) -> bytes:
        wanted = bytearray(stop - start)
        view, done = memoryview(wanted), 0
        with self._origin.read(self._file, start, stop) as body:
            while done < len(wanted):
                count = body.readinto(view[done:])
                if not count:
                    raise TransientError("the answer ended early", where=self._file.path)
                done += count
        return bytes(wanted)


@dataclass(frozen=True, slots=True)
class PartialModel:
    """A model of which parts can be read.

    Attributes:
        uri: The source, canonical.
        files: What it has.
    """

    uri: str
    files: tuple[FileEntry, ...]
    _origin: Origin
    _retry: Retry

    def open(self, file: FileEntry) -> PartialFile:
        """One of `files`, from its beginning; `io.BufferedReader` reads it comfortably."""
        return PartialFile(file, self._origin, self._retry)


@contextmanager
def look_into(
    source: str, *, revision: str | None = None, include: Sequence[str] = ()
) -> Iterator[PartialModel]:
    """Read parts of a model where it lies; nothing is written.

    Args:
        source: A source URI with ranges: hf, https or s3; a swarm's is its origin.
        revision: As for `fetch`.
        include: Which files, as for `fetch`.

    Raises:
        SourceError: There is no such model, or its source can only be fetched whole.
    """
    found = parse_source(source.removeprefix("swarm://"), revision=revision, include=include)
    if not isinstance(found, RangedSource):
        raise SourceError(
            "can only be had whole: it has no ranges",
            where=found.uri,
            hint="Fetch it with `pilotage fetch`, and name the file or folder",
        )
    manifest = found.resolve()
    with found.opened(manifest) as (origin, retry):
        yield PartialModel(found.uri, manifest.files, origin, retry)
