"""The files that a cache has already, whatever revision they came with.

A file is known by its sha256: as a blob, or as a file of a revision that has no blobs (an older
cache, or a filesystem without links). Configurations are never taken from here: a source looks
into them before it takes them, and what one repository was allowed another is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pilotage.fetch.digest import sha256_of
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.store.blobs import Blobs
from pilotage.fetch.store.copying import share


class KnownFiles:
    """What can be shared with a new revision.

    Args:
        blobs: The blobs of the cache.
        published: The sha256 and the path of every file of every revision.
    """

    def __init__(self, blobs: Blobs, published: Iterable[tuple[str, Path]]) -> None:
        self._blobs = blobs
        self._published: dict[str, list[Path]] = {}
        for sha256, path in published:
            self._published.setdefault(sha256, []).append(path)

    def split(
        self, files: Sequence[FileEntry], progress: ProgressListener = unheard
    ) -> tuple[tuple[FileEntry, ...], tuple[FileEntry, ...]]:
        """The files that are here and have the right bytes, with their sizes, and the others.

        Raises:
            OSError: The disk failed.
        """
        present, missing = [], []
        for file in files:
            if (size := self._verified(file, progress)) is not None:
                present.append(replace(file, size=size))
            else:
                missing.append(file)
        return tuple(present), tuple(missing)

    def place(self, file: FileEntry, target: Path) -> bool:
        """Have a file that `split` found at `target` too; False when it has gone since.

        Raises:
            ResourceError: It must be copied, as this disk knows no links, and does not fit.
            OSError: The disk failed.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        for path in self._candidates(file):
            with suppress(FileNotFoundError):
                share(path, target)
                return True
        return False

    def _verified(self, file: FileEntry, progress: ProgressListener) -> int | None:
        if file.sha256 is None or file.path.lower().endswith(".json"):
            return None
        for path in self._candidates(file):
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                if file.size not in {None, size}:
                    continue
                if sha256_of(path, progress) == file.sha256:
                    return size
                if path == self._blobs.path(file.sha256):
                    path.unlink()  # its name is a promise that it breaks
        return None

    def _candidates(self, file: FileEntry) -> list[Path]:
        digest = str(file.sha256)
        return [self._blobs.path(digest), *self._published.get(digest, ())]
