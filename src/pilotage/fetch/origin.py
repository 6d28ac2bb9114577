"""Where a file's bytes come from, as the transfer engine sees every source that has ranges."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry


class TransientError(SourceError):
    """It may go well next time: a time-out, a reset, a 429, a 5xx, a truncated body.

    Args:
        message: What happened.
        where: The address, without secrets.
        hint: What to do if it goes on.
        retry_after_s: How long the origin asks to wait, in seconds; None if it does not.
        received: Whether bytes had arrived: a part that makes progress is not a failing origin.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
        received: bool = False,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.retry_after_s = retry_after_s
        self.received = received


class ChangedError(SourceError):
    """The file is not the one it was when the transfer began: its ETag or size differs.

    What arrived so far is worthless; a source of immutable revisions never raises it.
    """


class Body(Protocol):
    """The bytes that an origin sends for one part."""

    def readinto(self, buffer: memoryview) -> int:
        """Read at most ``len(buffer)`` bytes into ``buffer``; 0 at the part's end.

        Raises:
            TransientError: The bytes stopped before the part's end.
        """
        ...


class Origin(Protocol):
    """Gives byte ranges of a manifest's files. Safe to use from many threads."""

    @property
    def name(self) -> str:
        """Who answers, such as ``https://huggingface.co``: what a circuit breaker counts by."""
        ...

    def read(self, file: FileEntry, start: int, stop: int) -> AbstractContextManager[Body]:
        """The bytes ``[start, stop)`` of ``file``, of exactly the revision that was resolved.

        An origin that ignores ranges gives the whole file when asked for ``[0, size)`` and fails
        permanently for any other range, so that the engine can fall back to one part a file.

        Args:
            file: Of the manifest.
            start: First byte.
            stop: The byte after the last.

        Raises:
            TransientError: It may go well next time.
            ChangedError: The file has changed since it was resolved.
            NoRangesError: Ranges are ignored here.
            SourceError: It will not go well.
        """
        ...


class NoRangesError(SourceError):
    """The origin ignores ranges: files can only be had whole."""
