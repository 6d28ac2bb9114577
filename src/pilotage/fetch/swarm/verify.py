"""The files' digests, computed while the chunks arrive, in their order."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm.layout import Layout, size_of

_READ: Final = 1 << 20


class RollingHasher:
    """Reads the files behind the chunks that have arrived, in a thread of its own.

    What arrives in order is hashed while the rest is on its way and still in the page cache.

    Args:
        layout: The model's.
        paths: Where each of its files lies.
    """

    def __init__(self, layout: Layout, paths: Sequence[Path]) -> None:
        self._layout = layout
        self._paths = paths
        self._have: set[int] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._found: list[FileEntry] = []
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="swarm-hasher", daemon=True)
        self._thread.start()

    def arrived(self, chunk: int) -> None:
        """The bytes of a chunk are in the files for good."""
        with self._changed:
            self._have.add(chunk)
            self._changed.notify()

    def finish(self) -> list[FileEntry]:
        """The layout's files with their digests; all chunks must have arrived.

        Raises:
            OSError: A file could not be read.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._found

    def stop(self) -> None:
        """End the thread, whatever is missing."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            for number, file in enumerate(self._layout.files):
                if (entry := self._hash(number, file)) is None:
                    return
                self._found.append(entry)
        except OSError as error:
            self._failure = error

    def _hash(self, number: int, file: FileEntry) -> FileEntry | None:
        digest = hashlib.sha256()
        git = _git_digest(file)
        read = 0
        with self._paths[number].open("rb", buffering=0) as stream:
            for chunk, segment in self._segments(number):
                with self._changed:
                    while chunk not in self._have and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return None
                while read < segment:
                    data = stream.read(min(_READ, segment - read))
                    if not data:
                        raise OSError(f"{file.path} became shorter")
                    digest.update(data)
                    if git is not None:
                        git.update(data)
                    read += len(data)
        return replace(
            file, sha256=digest.hexdigest(), git_sha1=None if git is None else git.hexdigest()
        )

    def _segments(self, number: int) -> list[tuple[int, int]]:
        """The chunks of a file and where, in the file, each one's bytes end."""
        return [
            (chunk, segment.stop)
            for chunk in self._layout.chunks_of(number)
            for segment in self._layout.segments(*self._layout.span(chunk))
            if segment.file == number
        ]


def wrong_files(promised: Manifest, found: Sequence[FileEntry]) -> list[FileEntry]:
    """The promised entries of the files that are not what was promised."""
    by_path = {file.path: file for file in promised.files}
    return [by_path[file.path] for file in found if not _is_kept(by_path[file.path], file)]


def empty_entry(file: FileEntry) -> FileEntry:
    """The entry of a file of no bytes, with its digests."""
    git = _git_digest(file)
    return replace(
        file,
        sha256=hashlib.sha256().hexdigest(),
        git_sha1=None if git is None else git.hexdigest(),
    )


def _is_kept(want: FileEntry, got: FileEntry) -> bool:
    if want.sha256 is not None:
        return want.sha256 == got.sha256
    return want.git_sha1 in {None, got.git_sha1}


def _git_digest(file: FileEntry) -> hashlib._Hash | None:
    if file.git_sha1 is None:
        return None
    header = b"blob %d\0" % size_of(file)
    return hashlib.sha1(header, usedforsecurity=False)
