"""Rows that the database cannot take now, in a file beside it until it can.

Every process has its own spill file, held by a lock that ends with the process. A file that nobody
holds was left by one that ended; whoever opens the ledger next writes its rows to the database.
Doing so twice is harmless, because a row has one id.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from pilotage.route.ledger.rows import Row

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 1000


class Spill:
    """The spill files of a ledger: this process's own, and those that others left.

    Args:
        base: Path whose name they begin with: ``ledger.sqlite`` spills to
            ``ledger.sqlite.<letters>.spill``.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._path = self._fresh()
        self._file: BinaryIO | None = None
        self.rows = 0
        """Rows in this process's file."""

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows to this process's file, on disk when this returns.

        Raises:
            OSError: They could not be written.
        """
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        with self._lock:
            if self._file is None:
                # A new name each time: whoever looks for files to take over may have met the last
                # one before it was locked.
                self._path = self._fresh()
                self._file = _made(self._path)
            end = self._file.seek(0, os.SEEK_END)
            try:
                self._file.write(lines)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError:
                # No half of a line stays where whole ones may follow.
                with contextlib.suppress(OSError):
                    self._file.truncate(end)
                raise
            self.rows += len(rows)

    def batches(self) -> Iterator[list[Row]]:
        """The rows of this process's file; call `clear` once all are in the database."""
        with self._lock:
            path = self._path if self._file is not None else None
        if path is not None:
            with path.open("rb") as file:
                yield from _read(file, path)

    def clear(self) -> None:
        """Remove this process's file."""
        with self._lock:
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                self._file.close()
                self._file, self.rows = None, 0

    def close(self) -> None:
        """Let go of the file; if it has rows it stays for whoever comes next."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file, self.rows = None, 0

    def left_by_others(self) -> Iterator[list[Row]]:
        """Rows of the files that ended processes left.

        A file is removed when the caller comes back for more, that is, after it has written all
        of its rows.
        """
        for path in sorted(self._base.parent.glob(f"{_escaped(self._base.name)}.*.spill")):
            if path == self._path:
                continue
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield from _read(file, path)
                path.unlink(missing_ok=True)

    def _fresh(self) -> Path:
        return self._base.with_name(f"{self._base.name}.{secrets.token_hex(6)}.spill")


def _made(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.fdopen(descriptor, "r+b")


def _read(file: BinaryIO, path: Path) -> Iterator[list[Row]]:
    while lines := list(islice(file, _BATCH)):
        rows = []
        for line in lines:
            try:
                rows.append(msgspec.json.decode(line, type=Row))
            except msgspec.DecodeError:
                # The last line of a process that was killed while it wrote it.
                _LOG.warning("a row in %s cannot be read and is left out", path)
        if rows:
            yield rows


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
