"""READY: the file that vouches for a revision's folder, and the flushing that makes it true."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.fetch.digest import sha256_of
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.progress import ProgressListener, unheard

READY: Final = "READY"
FILES: Final = "files"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Ready:
    """What a marker says.

    Attributes:
        manifest: The revision's files, each with size and sha256.
        modified: The modification time that each file had when it was verified, in nanoseconds.
    """

    manifest: Manifest
    modified: Mapping[str, int]

    @staticmethod
    def read(folder: Path) -> Ready | None:
        """The marker of a revision's folder; None when it is absent or says nothing sensible.

        Raises:
            OSError: It may not be read, or the folder's path leads through a file.
        """
        try:
            data = json.loads((folder / READY).read_bytes())
            if data["format"] != _FORMAT:
                return None
            manifest = Manifest.from_dict(data["manifest"])
            return Ready(manifest, {file.path: data["stat"][file.path] for file in manifest.files})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def holds(
        self,
        file: FileEntry,
        path: Path,
        *,
        verify: bool = False,
        progress: ProgressListener = unheard,
    ) -> bool:
        """Whether `path` has the bytes of `file`: by size and time, else by its sha256.

        Raises:
            OSError: It is not there, or may not be read.
        """
        found = path.stat()
        if found.st_size != file.size:
            return False
        trusted = found.st_mtime_ns == self.modified[file.path] and not verify
        return trusted or sha256_of(path, progress) == file.sha256


def write_ready(folder: Path, manifest: Manifest) -> None:
    """Write the marker of a staged revision whose files are flushed, and flush what holds it.

    Raises:
        OSError: The disk failed.
    """
    files = folder / FILES
    stats: dict[str, int] = {}
    folders = {files}
    for file in manifest.files:
        path = files / file.path
        stats[file.path] = path.stat().st_mtime_ns
        folders.update(parent for parent in path.parents if parent.is_relative_to(files))
    data = {"format": _FORMAT, "manifest": manifest.as_dict(), "stat": stats}
    marker = folder / READY
    marker.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    flush(marker)
    for touched in [*folders, folder]:
        flush(touched)


def flush(path: Path) -> None:
    """Have a file or a folder on the disk itself.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
