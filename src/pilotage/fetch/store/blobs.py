"""Every file once, whatever revisions it is part of: ``blobs/sha256/ab/abcd…``.

A published file and its blob are two names of one file on the disk (a hard link), or share their
blocks (a reflink). Where the filesystem has neither, no blob is made, as it would take the room
twice; a later revision then copies the file from the revision that has it.

A blob is hashed before it is used again: its name is a promise about its bytes, and a download is
dearer than a look.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from pilotage.fetch.digest import sha256_of
from pilotage.fetch.store.copying import link, reflink

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Blobs:
    """The files of all revisions by their sha256.

    Args:
        folder: ``blobs`` of a cache folder; made when something is first added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"

    def path(self, sha256: str) -> Path:
        """Where the blob of a digest (64 hex digits) lies, or would lie."""
        return self._folder / sha256[:2] / sha256

    def merge(self, path: Path, sha256: str) -> None:
        """Have the verified file `path` share its bytes with the blob of its digest, if any.

        For a file that is not published yet: it becomes another file, with another time.

        Raises:
            OSError: The disk failed.
        """
        blob = self.path(sha256)
        with suppress(FileNotFoundError):
            if path.samefile(blob):
                return
            right = sha256_of(blob) == sha256
            if not right:
                blob.unlink()
                return
            aside = path.with_name(f".{secrets.token_hex(8)}")
            if link(blob, aside):
                aside.replace(path)

    def add(self, path: Path, sha256: str) -> None:
        """Make the published file `path` the blob of its digest, where there is none.

        Raises:
            OSError: The disk failed.
        """
        protect(path)
        blob = self.path(sha256)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            if not link(path, blob) and not blob.exists():
                aside = blob.with_name(f".{blob.name}.{secrets.token_hex(4)}")
                if reflink(path, aside):
                    protect(aside)
                    aside.replace(blob)

    def __iter__(self) -> Iterator[Path]:
        """Every blob. Files that are none, such as half-made ones, are left out."""
        with suppress(FileNotFoundError):
            for folder in sorted(self._folder.iterdir()):
                for path in sorted(folder.iterdir()):
                    if len(path.name) == 64:
                        yield path

    def beyond(self, wanted: Collection[str]) -> list[Path]:
        """The blobs whose digest is not among `wanted`, and what killed processes left half-made.

        Raises:
            OSError: The disk failed.
        """
        if not self._folder.is_dir():
            return []
        return [
            path
            for folder in sorted(self._folder.iterdir())
            for path in sorted(folder.iterdir())
            if path.name not in wanted
        ]


def protect(path: Path) -> None:
    """Take away the permission to write: the bytes may be those of several revisions."""
    with suppress(OSError):  # a filesystem without permissions
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITABLE)


def unprotect(path: Path) -> None:
    """Give the user the permission to write back.

    Raises:
        OSError: The disk failed.
    """
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)
