"""Looking after a cache: what is in it, whether it is still right, and what may go."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import UsageError
from pilotage.fetch.digest import sha256_of
from pilotage.fetch.disk import disk_errors
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.store.prune import QUARANTINE, Limits, Pruned, last_used, prune, size_of
from pilotage.fetch.store.ready import FILES, Ready
from pilotage.fetch.store.store import Store
from pilotage.units import printable

_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CachedRevision:
    """A revision in the cache.

    Attributes:
        name: Its folder's name, which `Cache.pin` takes.
        source: The canonical source URI.
        id: What the revision resolved to.
        path: Its folder.
        size: Bytes of its files.
        shared: Those of them that other revisions have too: removing this one does not free them.
        last_used: When it was last fetched or opened, in seconds since 1970.
        pinned: Whether it is pinned by name.
        in_use: Whether a process has it open.
    """

    name: str
    source: str
    id: str
    path: Path
    size: int
    shared: int
    last_used: float
    pinned: bool
    in_use: bool


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A download that is going on, or that was broken off and can be resumed.

    Attributes:
        name: The folder name that the revision will have.
        path: The staging folder.
        size: Bytes on the disk so far.
        last_write: When something in it was last written, in seconds since 1970.
        abandoned: Whether its process is known to be gone.
    """

    name: str
    path: Path
    size: int
    last_write: float
    abandoned: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """What `Cache.verify` found.

    Attributes:
        name: The revision.
        damaged: The files that are not what they were, or are gone; empty when it is right.
        quarantined: Where it was moved to; None when it is right.
    """

    name: str
    damaged: tuple[str, ...]
    quarantined: Path | None


class Cache:
    """The upkeep of one store.

    Args:
        store: The cache.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def revisions(self) -> list[CachedRevision]:
        """All revisions, the last used first.

        Raises:
            StoreError: The cache cannot be read.
        """
        with disk_errors(self._store.home):
            found = list(self._store.revisions())
            in_use = self._store.pins.in_use()
            owners = Counter(digest for _, ready in found for digest in _digests(ready))
            listed = [self._listed(folder, ready, owners, in_use) for folder, ready in found]
        return sorted(listed, key=lambda one: one.last_used, reverse=True)

    def unfinished(self) -> list[Unfinished]:
        """Downloads that go on or were broken off.

        Raises:
            StoreError: The cache cannot be read.
        """
        with disk_errors(self._store.home):
            return [
                Unfinished(one.name, one.path, size_of(one.path), one.last_write, one.may_be_taken)
                for one in self._store.area.leftovers()
                if not one.is_rubbish
            ]

    def pin(self, name: str) -> CachedRevision:
        """Keep a revision whatever `prune` is asked for.

        Args:
            name: Its folder's name, the beginning of it, or its source.

        Raises:
            UsageError: There is no such revision, or several.
            StoreError: The cache cannot be written.
        """
        found = self._named(name)
        with disk_errors(self._store.home):
            self._store.pins.pin(found.name, found.source)
        return self._named(found.name)

    def unpin(self, name: str) -> CachedRevision:
        """Keep it no longer; as `pin`. One that is not pinned stays so."""
        found = self._named(name)
        with disk_errors(self._store.home):
            self._store.pins.unpin(found.name)
        return self._named(found.name)

    def verify(self, *, progress: ProgressListener = unheard) -> list[Verified]:
        """Hash every file of every revision and every blob; what differs goes into quarantine.

        Raises:
            StoreError: The cache cannot be read, or the damaged parts cannot be moved.
        """
        hashed: dict[_Inode, str] = {}

        def digest(path: Path) -> str | None:
            try:
                stat = path.stat()
                inode = (stat.st_dev, stat.st_ino)
                if inode not in hashed:
                    hashed[inode] = sha256_of(path, progress)
            except FileNotFoundError:
                return None
            return hashed[inode]

        results = []
        with disk_errors(self._store.home):
            for folder, ready in self._store.revisions():
                files = folder / FILES
                damaged = tuple(
                    file.path
                    for file in ready.manifest.files
                    if digest(files / file.path) != file.sha256
                )
                moved = self._quarantine(folder) if damaged else None
                results.append(Verified(folder.name, damaged, moved))
            for blob in self._store.blobs:
                if digest(blob) not in (None, blob.name):
                    self._quarantine(blob)
        return results

    def prune(self, limits: Limits | None = None, *, dry_run: bool = False) -> Pruned:
        """Remove what nobody needs, then the longest unused revisions until the limits are met.

        Pinned revisions and those in use always stay. What nobody needs: blobs of no revision,
        broken-off downloads after a day (at once when a limit needs the room), and the quarantine.

        Args:
            limits: What to aim at; by default no revision is removed.
            dry_run: Only say what would be removed.

        Raises:
            StoreError: The cache cannot be read or written.
        """
        with disk_errors(self._store.home):
            return prune(self._store, self.revisions(), limits or Limits(), dry_run=dry_run)

    def _listed(
        self, folder: Path, ready: Ready, owners: Counter[str], in_use: set[str]
    ) -> CachedRevision:
        files = ready.manifest.files
        return CachedRevision(
            name=folder.name,
            source=ready.manifest.source,
            id=ready.manifest.id,
            path=folder,
            size=sum(file.size or 0 for file in files),
            shared=sum(file.size or 0 for file in files if owners[str(file.sha256)] > 1),
            last_used=last_used(folder),
            pinned=self._store.pins.is_pinned(folder.name),
            in_use=folder.name in in_use,
        )

    def _named(self, name: str) -> CachedRevision:
        revisions = self.revisions()
        exact = [one for one in revisions if name in (one.name, one.source)]
        found = exact or [one for one in revisions if name and one.name.startswith(name)]
        if len(found) == 1:
            return found[0]
        wrong = "names several revisions" if found else "is no revision in the cache"
        names = ", ".join(one.name for one in (found or revisions)[:5])
        raise UsageError(
            f"{printable(name)[:100]!r} {wrong}",
            where=str(self._store.home),
            hint=f"There is {names}" if names else "The cache is empty",
        )

    def _quarantine(self, path: Path) -> Path:
        folder = self._store.home / QUARANTINE
        folder.mkdir(exist_ok=True)
        target = folder / f"{path.name}.{int(time.time())}.{secrets.token_hex(2)}"
        path.rename(target)
        return target


def _digests(ready: Ready) -> set[str]:
    return {str(file.sha256) for file in ready.manifest.files}
