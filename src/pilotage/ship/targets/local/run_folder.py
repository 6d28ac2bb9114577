"""Where a local deployment lives: what should run, what runs, logs, and who may change it.

::

    $PILOTAGE_HOME/ship/NAME/
        wanted.json       the revision that should run, or that nothing should
        running.json      what the supervisor has started: pid, start time, state
        revisions/ID/     the rendered files of a revision
        logs/NAME.log     what each process wrote
        supervisor.lock   held by the supervisor while it lives
        apply.lock        held by whoever changes ``wanted.json``
        ledger.sqlite     the balancer's ledger

Each file is replaced whole, so a process that is killed leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotage.errors import StoreError
from pilotage.ship.targets.local.processes import Revision


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one local deployment.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def revisions(self) -> Path:
        """Folder of rendered files."""
        return self.path / "revisions"

    @property
    def logs(self) -> Path:
        """Folder of logs."""
        return self.path / "logs"

    @property
    def ledger(self) -> Path:
        """The balancer's ledger."""
        return self.path / "ledger.sqlite"

    def exists(self) -> bool:
        """Whether anything was ever applied here, and not yet destroyed altogether."""
        return (self.path / "wanted.json").exists()

    def wanted(self) -> str | None:
        """Id of the revision that should run; None if nothing should.

        Raises:
            StoreError: It cannot be read. Nothing is not meant by that: nobody said so.
        """
        found = self._read("wanted.json").get("revision")
        return found if isinstance(found, str) else None

    def want(self, revision: str | None) -> None:
        """Say what should run. The supervisor looks at it all the time."""
        self._write("wanted.json", {"revision": revision})

    def running(self) -> dict[str, Any]:
        """What the supervisor last wrote; empty before it did, and where it cannot be read.

        It is only a record: what really runs is found by its command lines, too.
        """
        with contextlib.suppress(StoreError):
            return self._read("running.json")
        return {}

    def write_running(self, data: dict[str, Any]) -> None:
        """Keep what runs, for ``status`` and for the next supervisor."""
        self._write("running.json", data)

    def revision(self, id_: str) -> Revision:
        """A revision that was kept.

        Raises:
            StoreError: It cannot be read.
        """
        return Revision.read(self.revisions / id_)

    def keep(self, revision: Revision) -> None:
        """Write a revision's files, all or none.

        Raises:
            StoreError: The folder cannot be written.
        """
        place = self.revisions / revision.id
        if place.exists():
            return
        half = self.revisions / f".{revision.id}.{os.getpid()}"
        with _named(self.path):
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True, mode=0o700)
            for name, text in revision.files.items():
                (half / name).write_text(text, encoding="utf-8")
            half.rename(place)

    def forget_others(self, id_: str) -> None:
        """Remove all revisions but one. A process has read its spec when it started."""
        for path in self.revisions.iterdir() if self.revisions.exists() else ():
            if path.name != id_:
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[bool]:
        """Try to hold a lock; False if another process has it. It ends with the process."""
        with _named(self.path):
            descriptor = self._open(name)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                # A lock on a file that ``destroy`` has removed meanwhile keeps nobody out.
                yield _is_file_of(descriptor, self.path / name)
        finally:
            os.close(descriptor)

    def is_held(self, name: str) -> bool:
        """Whether a process holds a lock. Nothing is made to find out."""
        try:
            descriptor = os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _open(self, name: str) -> int:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / name, str(error)) from None
        if not isinstance(data, dict):
            raise _unreadable(self.path / name, "it holds no object")
        return data

    def _write(self, name: str, data: dict[str, Any]) -> None:
        half = self.path / f".{name}.{os.getpid()}"
        with _named(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            half.write_text(json.dumps(data, indent=1), encoding="utf-8")
            half.replace(self.path / name)


def _unreadable(path: Path, why: str) -> StoreError:
    return StoreError(
        f"cannot be read: {why}",
        where=str(path),
        hint="Apply again, or destroy: either writes it anew",
    )


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """An `OSError` within says which folder, and what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror}",
            where=error.filename or str(folder),
            hint="Free space there, or name another folder by PILOTAGE_HOME",
        ) from None


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
