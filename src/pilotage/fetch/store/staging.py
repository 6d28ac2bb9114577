"""Private folders in which revisions are made, which survive their process and can be taken over.

The folder's name says whose it is: ``NAME~OWNER~RANDOM``. Giving it to another process is one
rename to a name with another owner: of several that want it, one gets it, and the others find
nothing under the old name.

A folder may be taken over when its owner is proven to be dead on this machine, or has let go of it
(``free``). An owner on another machine or in another container that shows no sign of life may only
be frozen, and would write on, wherever its open files have been moved to, when it wakes. So its
folder is left alone and what it has is copied: first the journal, then the files, so that whatever
the journal vouches for is in the copy. Everything is verified afterwards in any case. Only where
the disk has no room for both, and the silence is long, is the old folder emptied on the way.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.errors import ResourceError
from pilotage.fetch.disk import is_full
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.store.blobs import unprotect
from pilotage.fetch.store.copying import allocated, copy
from pilotage.fetch.store.heartbeat import beating, filesystem_now
from pilotage.fetch.store.leftover import TRASH, Leftover
from pilotage.fetch.store.owner import Owner, owned_name
from pilotage.fetch.store.ready import FILES, READY

STALE_AFTER: Final = 24 * 3600.0
"""Seconds without a write after which an abandoned staging folder is removed."""

_HEARTBEAT: Final = "heartbeat"
_GONE_AFTER: Final = 4  # times the silence after which it is copied from
_INCOMING: Final = "incoming"


@dataclass(frozen=True, slots=True)
class Staging:
    """A private folder in which one process makes one revision.

    Attributes:
        root: The whole folder.
        files: Where the model's files are written.
        scratch: Room for a source's temporary files and its journal, on the same disk; never
            published.
        resumed: Whether `files` and `scratch` hold what an earlier attempt left.
    """

    root: Path
    files: Path
    scratch: Path
    resumed: bool

    @staticmethod
    def at(root: Path, *, resumed: bool) -> Staging:
        """The staging folder at `root`."""
        return Staging(root, root / "revision" / FILES, root / "scratch", resumed)

    def written(self, files: Sequence[FileEntry]) -> int:
        """The bytes that `files` take on the disk by now.

        Raises:
            OSError: The disk failed.
        """
        paths = [self.files / file.path for file in files]
        return sum(allocated(path) for path in paths if path.exists())


class StagingArea:
    """All staging folders of a cache.

    Args:
        folder: ``staging`` of a cache folder.
        beat_s: Seconds between two heartbeats.
        silent_s: Seconds without a heartbeat after which a folder of another machine is copied
            from. It would do no harm to copy from one whose owner lives.
    """

    def __init__(self, folder: Path, *, beat_s: float, silent_s: float) -> None:
        self.folder = folder
        self._beat_s = beat_s
        self._silent_s = silent_s

    @contextmanager
    def open(self, name: str, *, resume: bool) -> Iterator[Staging]:
        """A folder of this process's own, with a heartbeat while the block runs.

        It stays where it is afterwards; see `release` and `remove`.

        Args:
            name: The revision's folder name.
            resume: Go on with what an earlier process left.

        Raises:
            OSError: The disk failed.
        """
        root = (self._taken(name) if resume else None) or self._fresh(name)
        resumed = (root / _HEARTBEAT).exists()
        with (root / _HEARTBEAT).open("ab") as heart, beating(heart.fileno(), self._beat_s):
            os.utime(heart.fileno())
            staging = Staging.at(root, resumed=resumed)
            staging.files.mkdir(parents=True, exist_ok=True)
            staging.scratch.mkdir(exist_ok=True)
            if resumed:
                _loosen(staging)
            elif resume:
                resumed = self._copied(name, staging)
            yield Staging.at(root, resumed=resumed)

    def release(self, staging: Staging) -> None:
        """Let go of a folder, so that whoever comes next goes on with it."""
        with suppress(OSError):
            name = Leftover.at(staging.root).name
            staging.root.rename(self._named(name, None))

    def remove(self, folder: Path) -> None:
        """Delete a folder; nobody can take it over meanwhile."""
        trash = self.doomed()
        try:
            folder.rename(trash)
        except OSError:
            trash = folder
        shutil.rmtree(trash, ignore_errors=True)

    def doomed(self) -> Path:
        """A path in `folder` for what is about to be deleted.

        Raises:
            OSError: The cache cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._named(TRASH, Owner.me())

    def leftovers(self) -> list[Leftover]:
        """All folders, this process's own included.

        Raises:
            OSError: The disk failed.
        """
        try:
            folders = sorted(path for path in self.folder.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        return [Leftover.at(path) for path in folders]

    def remove_stale(self, *, useless: str | None = None) -> None:
        """Remove abandoned folders after a day without a write, and rubbish at once.

        Args:
            useless: The name of a revision whose abandoned folders help nobody.

        Raises:
            OSError: The disk failed.
        """
        for leftover in self.leftovers():
            if leftover.is_in_use:
                continue
            rubbish = leftover.may_be_taken and (leftover.is_rubbish or leftover.name == useless)
            if rubbish or time.time() - leftover.last_write > STALE_AFTER:
                self.remove(leftover.path)

    def _named(self, name: str, owner: Owner | None) -> Path:
        return self.folder / owned_name(name, owner)

    def _fresh(self, name: str) -> Path:
        root = self._named(name, Owner.me())
        root.mkdir(mode=0o700)
        return root

    def _taken(self, name: str) -> Path | None:
        """The fullest folder that a dead process left, now ours; None when there is none."""
        left = [one for one in self.leftovers() if one.name == name and one.may_be_taken]
        for leftover in sorted(left, key=_fullness, reverse=True):
            root = self._named(name, Owner.me())
            with suppress(OSError):  # somebody was faster, or it is another user's
                leftover.path.rename(root)
                if os.access(root, os.R_OK | os.W_OK | os.X_OK):
                    return root
        return None

    def _copied(self, name: str, staging: Staging) -> bool:
        """Copy what the fullest silent folder of another machine has."""
        now = filesystem_now(staging.scratch)
        found = [
            (leftover, now - _heard(leftover.path))
            for leftover in self.leftovers()
            if leftover.name == name and leftover.may_be_copied and _fullness(leftover) > (0, 0)
        ]
        for leftover, silence in sorted(found, key=lambda one: _fullness(one[0]), reverse=True):
            if silence <= self._silent_s:
                continue
            try:
                _copy(leftover.path, staging)
            except (OSError, ResourceError) as error:
                if is_full(error) and silence > _GONE_AFTER * self._silent_s:
                    return self._emptied(leftover.path, staging)
            else:
                return True
        return False

    def _emptied(self, folder: Path, staging: Staging) -> bool:
        """Copy a folder file by file, removing each: where there is no room for both.

        Its owner, should it wake after all, finds its folder gone and fails.
        """
        aside = self.doomed()
        try:
            folder.rename(aside)
            _copy(aside, staging, emptying=True)
        except (OSError, ResourceError):
            return False
        finally:
            self.remove(aside)
        return True


def _loosen(staging: Staging) -> None:
    """Make a predecessor's files safe to write into.

    A file with a second name shares its bytes with a blob, perhaps one that has proved damaged;
    a file that was about to be published is write-protected; and a marker vouches for a set of
    files that is about to change.
    """
    (staging.files.parent / READY).unlink(missing_ok=True)
    shutil.rmtree(staging.root / _INCOMING, ignore_errors=True)
    for path in files_below(staging.files):
        if path.stat().st_nlink > 1:
            path.unlink()
        else:
            unprotect(path)


def _fullness(leftover: Leftover) -> tuple[int, int]:
    """How far a download is: by its files, and as their room may be taken at once, its journal."""
    staging = Staging.at(leftover.path, resumed=True)
    try:
        files, scratch = (
            sum(allocated(path) for path in files_below(folder))
            for folder in (staging.files, staging.scratch)
        )
    except OSError:
        return 0, 0
    return files, scratch


def _heard(folder: Path) -> float:
    try:
        return (folder / _HEARTBEAT).stat().st_mtime
    except OSError:
        return float("inf")


def _copy(folder: Path, staging: Staging, *, emptying: bool = False) -> None:
    theirs, incoming = Staging.at(folder, resumed=True), staging.root / _INCOMING
    try:
        # The journal first: what it vouches for was written before it.
        for source in (theirs.scratch, theirs.files):
            target = incoming / source.name
            target.mkdir(parents=True)
            for path in files_below(source):
                copied = target / path.relative_to(source)
                copied.parent.mkdir(parents=True, exist_ok=True)
                copy(path, copied)
                unprotect(copied)
                if emptying:
                    path.unlink()
        # The journal last: a kill in between must not leave it without its files.
        (incoming / theirs.files.name).replace(staging.files)
        (incoming / theirs.scratch.name).replace(staging.scratch)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def files_below(folder: Path) -> Iterator[Path]:
    """The plain files of a folder and of those in it."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            if path.is_file() and not path.is_symlink():
                yield path
