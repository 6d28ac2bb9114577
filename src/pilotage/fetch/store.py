"""The cache folder: whole, verified models, each fetched once.

::

    $PILOTAGE_HOME            or $XDG_CACHE_HOME/pilotage, or ~/.cache/pilotage
      models/NAME-HASH/       one folder a model revision; it exists only when it is whole
        READY                 the manifest, and what each file's stat was when it was verified
        files/…               the model's files
      staging/NAME-HASH.RANDOM/   private to one process; a killed one leaves only this

A revision is made in staging, verified, flushed to disk and then moved into ``models`` by one
rename, so it is there whole or not at all. No lock is taken: processes that fetch the same model
at once each work in their own staging folder, the first rename wins, and the others use it. So
the store is also right where locks silently do nothing (Lustre, some NFS).

Opening a revision makes no network call and compares sizes and modification times only; bytes
are hashed again when a time differs (a copied cache) or when asked for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.errors import StoreError
from pilotage.fetch.digest import sha256_of
from pilotage.fetch.disk import disk_errors
from pilotage.fetch.manifest import Manifest
from pilotage.fetch.progress import ProgressListener, unheard

STALE_AFTER: Final = 24 * 3600.0
"""Seconds without a write after which a staging folder is taken for a dead process's."""

_READY: Final = "READY"
_FORMAT: Final = 1
_RENAMES: Final = 5


def default_home() -> Path:
    """The cache folder: ``PILOTAGE_HOME``, else ``pilotage`` in the user's cache folder."""
    if chosen := os.environ.get("PILOTAGE_HOME"):
        return Path(chosen).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache").absolute() / "pilotage"


@dataclass(frozen=True, slots=True)
class Revision:
    """A whole, verified model in the store.

    Attributes:
        files: The folder that holds the model's files.
        manifest: Its files, each with size and sha256.
    """

    files: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Staging:
    """A private folder in which one process makes one revision.

    Attributes:
        files: Where the model's files are written.
        scratch: Room for a source's temporary files, on the same disk; never published.
    """

    files: Path
    scratch: Path


class Store:
    """Model revisions under one cache folder.

    Args:
        home: The cache folder; made when something is first written.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._models = home / "models"
        self._staging = home / "staging"

    def folder(self, source: str) -> Path:
        """Where the revision of a canonical source URI lies, or would lie."""
        return self._models / _name(source)

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
        try:
            ready = json.loads((folder / _READY).read_bytes())
            manifest = Manifest.from_dict(ready["manifest"])
            stats = ready["stat"]
            if ready["format"] != _FORMAT or manifest.source != source:
                return None
            files = folder / "files"
            for file in manifest.files:
                path = files / file.path
                found = path.stat()
                if found.st_size != file.size:
                    return None
                trusted = found.st_mtime_ns == stats[file.path] and not verify
                if not trusted and sha256_of(path, progress) != file.sha256:
                    return None
        except FileNotFoundError:
            return None
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
        except (ValueError, KeyError, TypeError):
            return None
        return Revision(files, manifest)

    @contextmanager
    def stage(self, source: str) -> Iterator[Staging]:
        """A private staging folder, removed on the way out unless it was published.

        Folders that dead processes left behind are removed first.

        Raises:
            StoreError: The cache folder cannot be written.
            ResourceError: The disk is full.
        """
        with disk_errors(self.home):
            self._models.mkdir(parents=True, exist_ok=True)
            self._staging.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            private = Path(tempfile.mkdtemp(prefix=f"{_name(source)}.", dir=self._staging))
        try:
            staging = Staging(private / "revision" / "files", private / "scratch")
            with disk_errors(self.home):
                staging.files.mkdir(parents=True)
                staging.scratch.mkdir()
                yield staging
        finally:
            shutil.rmtree(private, ignore_errors=True)

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
            _write_ready(staged, manifest)
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
                    _flush(self._models)
                    return Revision(target / "files", manifest)
        raise StoreError("another process keeps replacing the model", where=str(target))

    def _remove_stale(self) -> None:
        now = time.time()
        for folder in self._staging.iterdir():
            if now - _last_write(folder) > STALE_AFTER:
                shutil.rmtree(folder, ignore_errors=True)


def _name(source: str) -> str:
    """A folder name that a person recognises and that no two sources share."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", source.split("://", 1)[-1]).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _write_ready(staged: Path, manifest: Manifest) -> None:
    """Flush the files, then the marker that vouches for them, then the folders."""
    files = staged / "files"
    stats: dict[str, int] = {}
    folders = {files}
    for file in manifest.files:
        path = files / file.path
        _flush(path)
        stats[file.path] = path.stat().st_mtime_ns
        folders.update(parent for parent in path.parents if parent.is_relative_to(files))
    ready: dict[str, Any] = {"format": _FORMAT, "manifest": manifest.as_dict(), "stat": stats}
    marker = staged / _READY
    marker.write_text(json.dumps(ready, indent=1) + "\n", encoding="utf-8")
    _flush(marker)
    for folder in [*folders, staged]:
        _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_write(folder: Path) -> float:
    """The newest modification time in a staging folder; now when it vanishes under us."""
    try:
        newest = folder.stat().st_mtime
        for base, _, names in os.walk(folder):
            newest = max(newest, _mtime(Path(base)), *(_mtime(Path(base, n)) for n in names))
    except OSError:
        return time.time()
    return newest


def _mtime(path: Path) -> float:
    return path.lstat().st_mtime
