"""The interface every source of models offers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from pilotage.fetch.manifest import Manifest
from pilotage.fetch.origin import Origin
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.retry import Retry


class Source(Protocol):
    """A place that one model revision can be had from."""

    @property
    def uri(self) -> str:
        """The canonical URI, revision included and secrets not: the store's key."""
        ...

    @property
    def in_place(self) -> Path | None:
        """The file or folder to open where it lies; None when the bytes must be fetched."""
        ...

    def resolve(self) -> Manifest:
        """What the source has, before the first byte of it is fetched.

        Raises:
            SourceError: There is no such model.
        """
        ...

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Write the files of `manifest` below `into`.

        Args:
            manifest: From `resolve`, or the part of it that the cache lacks.
            into: The folder of the model's files. Others may be there already, and stay; so may
                what an earlier attempt left of these.
            scratch: A folder on the same disk for temporary files and journals, which the next
                attempt finds again if this one fails.
            progress: Told how far it is.

        Returns:
            What arrived: the manifest with every size and sha256 as written.

        Raises:
            SourceError: The bytes could not be had.
            OSError: `into` or `scratch` could not be written.
        """
        ...


@runtime_checkable
class RangedSource(Source, Protocol):
    """A source whose files can be read in part, without fetching them."""

    def opened(self, manifest: Manifest) -> AbstractContextManager[tuple[Origin, Retry]]:
        """Where the bytes of the manifest's files come from, and how its failures are waited out.

        Raises:
            ChangedError: The source has changed since it was resolved.
        """
        ...


@runtime_checkable
class SharingSource(Source, Protocol):
    """A source that gives to others what it has fetched, until it is told that all is done."""

    def published(self, files: Path) -> int | None:
        """The model is in its final place, ``files``; returns who goes on giving, if anybody."""
        ...

    def close(self) -> None:
        """Give no more."""
        ...
