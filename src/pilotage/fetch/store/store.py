"""The cache folder: whole, verified models, each fetched once.

::

    $PILOTAGE_HOME            or $XDG_CACHE_HOME/pilotage, or ~/.cache/pilotage
      models/NAME-HASH/       one folder a model revision; it exists only when it is whole
        READY                 the manifest, and what each file's stat was when it was verified
        files/…               the model's files
      blobs/sha256/ab/…       every file once: the files of revisions are links to these
      staging/NAME-HASH~OWNER~RANDOM/   private to one process; a killed one leaves only this
      leases/NAME-HASH        who fetches it now; saves bandwidth, nothing depends on it
      pins/NAME-HASH          keep it; uses/NAME-HASH~OWNER~RANDOM: a process has it open
      quarantine/…            what `verify` found damaged

A revision is made in staging, verified, flushed to disk and then moved into ``models`` by one
rename, so it is there whole or not at all. No lock is needed for that: processes that make the
same revision at once each work in their own staging folder, the first rename wins, and the others
use it. So the store is also right where locks silently do nothing (Lustre, some NFS).

Opening a revision makes no network call and compares sizes and modification times only; bytes
are hashed again when a time differs (a copied cache) or when asked for.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.errors import IntegrityError, StoreError
from pilotage.fetch.disk import disk_errors
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.origin import ChangedError
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.store.blobs import Blobs
from pilotage.fetch.store.known import KnownFiles
from pilotage.fetch.store.lease import Timing, Turn, take_turn
from pilotage.fetch.store.names import folder_name
from pilotage.fetch.store.ready import FILES, READY, Ready, flush, write_ready
from pilotage.fetch.store.staging import Staging, StagingArea, files_below
from pilotage.fetch.store.uses import Pins

_RENAMES: Final = 5


@dataclass(frozen=True, slots=True)
class Revision:
    """A whole, verified model in the store.

    Attributes:
        files: The folder that holds the model's files.
        manifest: Its files, each with size and sha256.
    """

    files: Path
    manifest: Manifest


class Store:
    """Model revisions under one cache folder.

    Args:
        home: The cache folder; made when something is first written.
        timing: How patient processes are with one another.
    """

    def __init__(self, home: Path, *, timing: Timing | None = None) -> None:
        self.home = home
        self.models = home / "models"
        self.blobs = Blobs(home / "blobs")
        self.pins = Pins(home)
        self.timing = timing or Timing()
        # Whoever has waited for a silent lease finds the silent holder's staging silent too.
        silent_s = self.timing.lease_s / 2
        self.area = StagingArea(home / "staging", beat_s=self.timing.beat_s, silent_s=silent_s)

    def folder(self, source: str) -> Path:
        """Where the revision of a canonical source URI lies, or would lie."""
        return self.models / folder_name(source)

    def open(
        self, source: str, *, verify: bool = False, progress: ProgressListener = unheard
    ) -> Revision | None:
        """The revision of a canonical source URI; None when it is absent or damaged.

        Writes nothing, so a read-only cache serves.

        Args:
            source: The canonical source URI.
            verify: Hash every file again, whatever its times say.
            progress: Told about files that are hashed.

        Raises:
            StoreError: The cache folder is a file, or may not be read.
        """
        folder = self.folder(source)
        with self._reading(folder):
            ready = Ready.read(folder)
            if ready is None or ready.manifest.source != source:
                return None
            files = folder / FILES
            try:
                for file in ready.manifest.files:
                    if not ready.holds(file, files / file.path, verify=verify, progress=progress):
                        return None
            except FileNotFoundError:
                return None
            return Revision(files, ready.manifest)

    def mark_used(self, source: str) -> None:
        """Note that a revision was opened, for `Cache.prune`; a read-only cache notes nothing."""
        with suppress(OSError):
            os.utime(self.folder(source) / READY)

    @contextmanager
    def in_use(self, source: str) -> Iterator[None]:
        """Keep a revision from being pruned while the block runs, or until this process dies.

        Raises:
            StoreError: It was pruned a moment ago.
        """
        folder = self.folder(source)
        with self.pins.using(folder.name):
            # `prune` moves the folder away and then looks for uses: one of the two sees the other.
            if not (folder / READY).exists():
                raise StoreError(
                    "the model was removed from the cache a moment ago",
                    where=str(folder),
                    hint="Start again to fetch it",
                )
            yield

    @contextmanager
    def turn(self, source: str, *, progress: ProgressListener = unheard) -> Iterator[Turn]:
        """Have only one process fetch a revision: wait while another does.

        Look for the revision again inside the block.

        Args:
            source: The canonical source URI.
            progress: Told whom it waits for.

        Raises:
            StoreError: The cache folder cannot be written.
            ResourceError: The disk is full.
        """
        marker = self.folder(source) / READY
        before = _identity(marker)
        leases = self.home / "leases"
        with disk_errors(self.home):
            leases.mkdir(parents=True, exist_ok=True)
            with take_turn(
                leases / folder_name(source),
                self.timing,
                lambda: _identity(marker) not in (None, before),
                progress,
            ) as turn:
                yield turn

    def have(
        self, manifest: Manifest, *, progress: ProgressListener = unheard
    ) -> tuple[tuple[FileEntry, ...], tuple[FileEntry, ...]]:
        """Which files of a new revision are in the cache already, as files of other revisions.

        Only files whose sha256 the manifest names can be found; those found were hashed.

        Args:
            manifest: What a source promises.
            progress: Told about files that are hashed.

        Returns:
            The present files, with their sizes, and the missing ones.

        Raises:
            StoreError: The cache cannot be read.
        """
        with disk_errors(self.home):
            return self._known().split(manifest.files, progress)

    def place(self, files: Sequence[FileEntry], staging: Staging) -> tuple[FileEntry, ...]:
        """Have files that `have` found in the staging folder too.

        Returns:
            The files that have gone from the cache since; they must be fetched.

        Raises:
            ResourceError: They must be copied, as this disk knows no links, and do not fit.
            OSError: The disk failed.
        """
        known = self._known()
        return tuple(file for file in files if not known.place(file, staging.files / file.path))

    @contextmanager
    def stage(self, source: str, *, resume: bool = False) -> Iterator[Staging]:
        """A private staging folder; gone afterwards, published or not, unless it can be resumed.

        Folders that dead processes left behind long ago are removed first.

        Args:
            source: The canonical source URI.
            resume: Go on with what an earlier attempt left in `Staging.files` and
                `Staging.scratch`, and leave what is there to a later one when the block fails.
                What is worthless is not left: after a `ChangedError`, or when the only file is not
                what was named.

        Raises:
            StoreError: The cache folder cannot be written.
            ResourceError: The disk is full.
        """
        name = folder_name(source)
        staging: Staging | None = None
        keep = False
        with disk_errors(self.home):
            self.models.mkdir(parents=True, exist_ok=True)
            self.area.folder.mkdir(parents=True, exist_ok=True)
            self.area.remove_stale(useless=None if resume else name)
            try:
                with self.area.open(name, resume=resume) as staging:
                    yield staging
            except BaseException as error:
                worthless = isinstance(error, ChangedError)
                # Of several files, one that never verifies does not spoil the others.
                least = 2 if isinstance(error, IntegrityError) else 1
                keep = resume and not worthless and _count(staging) >= least
                raise
            finally:
                if staging is not None and keep:
                    self.area.release(staging)
                elif staging is not None:
                    self.area.remove(staging.root)

    def publish(self, staging: Staging, manifest: Manifest) -> Revision:
        """Move a staged and verified revision to its place, whole, by one rename.

        When another process was first, its revision is returned and this one is dropped.

        Args:
            staging: From `stage`, with every file of `manifest` written.
            manifest: What arrived, with every size and sha256.

        Raises:
            StoreError: The cache folder cannot be written.
            ResourceError: The disk is full.
        """
        source = manifest.source
        staged = staging.files.parent
        target = self.folder(source)
        with disk_errors(self.home):
            _sweep(staging.files, manifest)
            for file in manifest.files:
                path = staging.files / file.path
                self.blobs.merge(path, str(file.sha256))
                flush(path)
            write_ready(staged, manifest)
            for _ in range(_RENAMES):
                try:
                    staged.rename(target)
                except OSError as error:
                    if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                        raise
                    if winner := self.open(source, verify=True):
                        return winner
                    with suppress(FileNotFoundError):
                        target.rename(staging.scratch / f"damaged-{time.monotonic_ns()}")
                else:
                    flush(self.models)
                    self._add_blobs(target / FILES, manifest)
                    return Revision(target / FILES, manifest)
        raise StoreError("another process keeps replacing the model", where=str(target))

    def revisions(self) -> Iterator[tuple[Path, Ready]]:
        """The folders of all published revisions, with their markers.

        Raises:
            OSError: The cache cannot be read.
        """
        try:
            folders = sorted(self.models.iterdir())
        except FileNotFoundError:
            return
        for folder in folders:
            with suppress(NotADirectoryError):
                if (ready := Ready.read(folder)) is not None:
                    yield folder, ready

    def _add_blobs(self, files: Path, manifest: Manifest) -> None:
        # Only now: were it earlier, a successor of a killed process would see a manifest with
        # fewer missing files than the one its predecessor's journal is for.
        with suppress(OSError):  # the revision is whole; the next one merely shares less
            for file in manifest.files:
                self.blobs.add(files / file.path, str(file.sha256))

    def _known(self) -> KnownFiles:
        return KnownFiles(
            self.blobs,
            (
                (str(file.sha256), folder / FILES / file.path)
                for folder, ready in self.revisions()
                for file in ready.manifest.files
            ),
        )

    @contextmanager
    def _reading(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except NotADirectoryError as error:
            raise StoreError(
                "the cache folder's path leads through a file",
                where=str(self.home),
                hint="PILOTAGE_HOME must name a folder",
            ) from error
        except OSError as error:
            raise StoreError(
                f"the cached model cannot be read: {error.strerror or error}",
                where=str(folder),
                hint="PILOTAGE_HOME must name a folder that you can read",
            ) from error


def _sweep(files: Path, manifest: Manifest) -> None:
    """Remove what is no file of the revision, such as a part that an earlier attempt left."""
    wanted = {file.path for file in manifest.files}
    for base, folders, names in os.walk(files, topdown=False):
        for name in names:
            path = Path(base, name)
            if path.relative_to(files).as_posix() not in wanted:
                path.unlink()
        for name in folders:
            with suppress(OSError):  # it is not empty
                Path(base, name).rmdir()


def _count(staging: Staging | None) -> int:
    return 0 if staging is None else sum(1 for _ in files_below(staging.files))


def _identity(marker: Path) -> int | None:
    try:
        return marker.stat().st_ino
    except OSError:
        return None
