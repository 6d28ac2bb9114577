"""What may go from a cache, and in which order: first what nobody needs, then the longest unused.

What is planned is counted by files on the disk, not by names: a file that two revisions share is
freed only when both are gone.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pilotage.fetch.store.ready import FILES, READY
from pilotage.fetch.store.staging import STALE_AFTER
from pilotage.fetch.store.store import Store

QUARANTINE: Final = "quarantine"

_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What to aim at; None sets no limit.

    Attributes:
        keep_free: Bytes that shall be free on the disk.
        max_size: Bytes that all revisions together may take.
        older_than: Seconds since the last use after which a revision goes.
    """

    keep_free: int | None = None
    max_size: int | None = None
    older_than: float | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        revisions: The revisions' names, the longest unused first.
        leftovers: Other folders and files: broken-off downloads, blobs of no revision, the
            quarantine.
        freed: Bytes.
        met: Whether the limits are met; False when what is left is pinned or in use.
    """

    revisions: tuple[str, ...]
    leftovers: tuple[Path, ...]
    freed: int
    met: bool


class Candidate(Protocol):
    """A revision, as far as it matters here."""

    @property
    def name(self) -> str:
        """Its folder's name."""
        ...

    @property
    def last_used(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def pinned(self) -> bool:
        """Whether it is pinned by name."""
        ...

    @property
    def in_use(self) -> bool:
        """Whether a process has it open."""
        ...


def prune(
    store: Store, candidates: Sequence[Candidate], limits: Limits, *, dry_run: bool
) -> Pruned:
    """Remove leftovers, then the longest unused of `candidates` until `limits` are met.

    Raises:
        OSError: The cache cannot be read or written.
    """
    room = _Room(store, candidates, limits)
    leftovers = [*_quarantined(store), *_broken_off(store, at_once=False)]
    room.free(sum(map(size_of, leftovers)))
    if not room.is_enough:
        more = [path for path in _broken_off(store, at_once=True) if path not in leftovers]
        room.free(sum(map(size_of, more)))
        leftovers += more
    orphans = store.blobs.beyond(room.digests)
    room.free(sum(size_of(path) for path in orphans if path.stat().st_nlink == 1))

    doomed = []
    for one in sorted(candidates, key=lambda one: one.last_used):
        too_old = limits.older_than is not None and time.time() - one.last_used > limits.older_than
        if one.pinned or one.in_use or not (too_old or not room.is_enough):
            continue
        if dry_run or _remove(store, one.name):
            room.remove(one.name)
            doomed.append(one.name)
    if not dry_run:
        for path in leftovers:
            if path.parent == store.area.folder:
                store.area.remove(path)
            else:
                _delete(path)
        for path in store.blobs.beyond(_digests(store)):
            path.unlink(missing_ok=True)
    return Pruned(tuple(doomed), (*leftovers, *orphans), room.freed, room.is_enough)


def last_used(folder: Path) -> float:
    """When a revision was last opened, in seconds since 1970; 0 when it is gone."""
    try:
        return (folder / READY).stat().st_mtime
    except OSError:
        return 0.0


def size_of(path: Path) -> int:
    """The bytes that a file, or all files of a folder, take on the disk."""
    found = {} if path.is_dir() else dict(_inode(path))
    for base, _, names in os.walk(path):
        for name in names:
            found.update(_inode(Path(base, name)))
    return sum(found.values())


class _Room:
    """What is taken and what is free, as revisions go."""

    def __init__(self, store: Store, candidates: Sequence[Candidate], limits: Limits) -> None:
        self._limits = limits
        self._files: dict[str, dict[_Inode, int]] = {}
        self.digests = _digests(store)
        self._users: Counter[_Inode] = Counter()
        for one in candidates:
            files: dict[_Inode, int] = {}
            for base, _, names in os.walk(store.models / one.name / FILES):
                for name in names:
                    files.update(_inode(Path(base, name)))
            self._files[one.name] = files
            self._users.update(files.keys())
        self._taken = sum(
            {k: v for files in self._files.values() for k, v in files.items()}.values()
        )
        self._free = shutil.disk_usage(store.home).free if store.home.exists() else 0
        self.freed = 0

    @property
    def is_enough(self) -> bool:
        """Whether the limits on space are met."""
        keep, most = self._limits.keep_free, self._limits.max_size
        return (keep is None or self._free >= keep) and (most is None or self._taken <= most)

    def free(self, size: int) -> None:
        """Bytes go that belong to no revision."""
        self._free += size
        self.freed += size

    def remove(self, name: str) -> None:
        """A revision goes, with the files that no other one has."""
        for inode, size in self._files[name].items():
            self._users[inode] -= 1
            if self._users[inode] == 0:
                self._taken -= size
                self.free(size)


def _inode(path: Path) -> Iterator[tuple[_Inode, int]]:
    with suppress(FileNotFoundError):
        stat = path.lstat()
        yield (stat.st_dev, stat.st_ino), stat.st_blocks * 512


def _digests(store: Store) -> set[str]:
    return {str(file.sha256) for _, ready in store.revisions() for file in ready.manifest.files}


def _quarantined(store: Store) -> list[Path]:
    folder = store.home / QUARANTINE
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _broken_off(store: Store, *, at_once: bool) -> list[Path]:
    """Downloads that nobody goes on with: after a day, or `at_once` if it is certain."""
    return [
        one.path
        for one in store.area.leftovers()
        if (one.may_be_taken and (at_once or one.is_rubbish))
        or (not one.is_in_use and time.time() - one.last_write > STALE_AFTER)
    ]


def _remove(store: Store, name: str) -> bool:
    """Take a revision out of the cache; False when it has come into use this moment."""
    folder = store.models / name
    aside = store.area.doomed()
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return False
    # Who opens it notes the use first and then looks whether it is there: one of us sees the
    # other, and a model in use is put back.
    if name in store.pins.in_use():
        with suppress(OSError):
            aside.rename(folder)
            return False
    store.area.remove(aside)
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
