"""An artifact's folder while it is made: all or nothing, and what is done is not done again.

The draft lies beside the output, on the same file system, so that it becomes the artifact by one
rename. Its name holds a digest of everything that decides its content; a draft of the same name is
the same work, interrupted, and goes on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from pilotage.engines.compiled.manifest import (
    MANIFEST,
    CompiledManifest,
    FileRecord,
    NetworkRecord,
    is_artifact,
    record_of,
)
from pilotage.errors import StoreError, UsageError

_DONE: Final = ".done"
_LOCK: Final = ".lock"


class _Done(msgspec.Struct, frozen=True):
    """A network that is finished, with the digest of its file."""

    network: NetworkRecord
    file: FileRecord | None


class Draft:
    """The folder of an artifact that is not whole yet.

    Attributes:
        folder: Where its files go.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self._output = output
        self.folder = folder

    def finished(self, name: str) -> NetworkRecord | None:
        """The network of that name, if an earlier run finished it and its file is whole."""
        try:
            done = msgspec.json.decode(self._note(name).read_bytes(), type=_Done)
        except (OSError, msgspec.MsgspecError):
            return None
        if done.network.file is None:
            return done.network
        path = self.folder / done.network.file
        return done.network if path.is_file() and record_of(path) == done.file else None

    def finish(self, network: NetworkRecord) -> None:
        """Note that a network is done; its file is written already."""
        file = record_of(self.folder / network.file) if network.file is not None else None
        write_whole(self._note(network.name), msgspec.json.encode(_Done(network, file)))

    def files(self) -> dict[str, FileRecord]:
        """Every file that the artifact will have beside its manifest, hashed."""
        return {
            str(path.relative_to(self.folder)): record_of(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.relative_to(self.folder).parts[0] not in (_DONE, _LOCK)
        }

    def discard(self) -> None:
        """Remove it: what it holds cannot become an artifact."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self, manifest: CompiledManifest, *, replace: bool) -> None:
        """Make it the artifact: the manifest last, everything on the disk, then one rename.

        Raises:
            UsageError: Something has come to lie there meanwhile.
            StoreError: The folder cannot be written.
        """
        try:
            write_whole(self.folder / MANIFEST, manifest.encode())
            shutil.rmtree(self.folder / _DONE, ignore_errors=True)
            for path in self.folder.rglob("*"):
                _sync(path)
            _sync(self.folder)
            old = self._output.with_name(f".{self._output.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            check_output(self._output, replace=replace)
            if self._output.exists():
                self._output.rename(old)
            self.folder.rename(self._output)
            (self._output / _LOCK).unlink(missing_ok=True)
            _sync(self._output.parent)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise _unwritable(self._output, error) from error

    def _note(self, name: str) -> Path:
        return self.folder / _DONE / f"{name}.json"


@contextmanager
def drafting(output: Path, key: str) -> Iterator[Draft]:
    """A draft for `output`; it stays when the block fails, and the next run goes on with it.

    Args:
        output: The artifact's folder.
        key: A digest of what is compiled, and how.

    Raises:
        UsageError: Another process makes the same artifact at this moment.
        StoreError: The folder cannot be written.
    """
    folder = output.with_name(f".{output.name}.{key[:12]}.partial")
    try:
        (folder / _DONE).mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritable(output, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                "another process compiles it at this moment", where=str(output), hint="Wait for it"
            ) from error
        yield Draft(output, folder)
    finally:
        os.close(lock)


def check_output(output: Path, *, replace: bool) -> None:
    """See to it that nothing is overwritten which is no artifact, or was not meant to be.

    Raises:
        UsageError: Something is there.
    """
    if not output.exists() or (replace and is_artifact(output)):
        return
    if is_artifact(output):
        raise UsageError(
            "a compiled artifact is there already",
            where=str(output),
            hint="Serve it, name another --output, or write --replace",
        )
    raise UsageError(
        "something is there that is no compiled artifact", where=str(output), hint="Name another"
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    _sync(scratch)
    scratch.replace(path)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _unwritable(output: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot be written: {error.strerror or error}",
        where=str(output),
        hint="Name another --output, or make room",
    )
