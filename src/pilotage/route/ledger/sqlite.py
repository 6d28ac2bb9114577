"""The ledger in a SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.errors import StoreError
from pilotage.route.ledger.money import atto_of
from pilotage.route.ledger.rows import Row
from pilotage.route.ledger.schema import SQLITE_STEPS, Step, check, migrate

APPLICATION_ID: Final = 0x504C_5447  # "PLTG", in the file's header
_MAGIC: Final = b"SQLite format 3\0"
_NANO: Final = 10**9

_NAMES: Final = tuple(
    column
    for name in Row.__struct_fields__
    for column in (("cost_nano", "cost_atto") if name == "cost" else (name,))
)
_ROW: Final = f"({', '.join('?' * len(_NAMES))})"
_INSERTS: Final = {
    rows: f"INSERT INTO pilotage_attempts ({', '.join(_NAMES)}) "  # noqa: S608 - our own names
    f"VALUES {', '.join([_ROW] * rows)} ON CONFLICT (id) DO NOTHING"
    for rows in (64, 16, 4, 1)
}
"""Statements that add so many rows, the largest first.

The driver gives the interpreter lock away for each statement and has to get it back from a busy
event loop: row by row, that costs the gateway more than all the writing.
"""

_COST: Final = Row.__struct_fields__.index("cost")


class SqliteStore:
    """A connection to the file. Several processes may have it open: it is in WAL mode.

    Args:
        path: The file; made with mode 0600 if it is not there, unless only read.
        read_only: Change nothing, and insist that it is there.
        busy_s: How long to wait for another process that is writing.
        steps: The versions of the tables.

    Raises:
        StoreError: It cannot be opened, is corrupt, is another program's database, or was written
            by a newer Pilotage.
        sqlite3.OperationalError: Another process holds it locked for longer than ``busy_s``.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        busy_s: float = 1.0,
        steps: Sequence[Step] = SQLITE_STEPS,
    ) -> None:
        self._path, self._read_only = path, read_only
        _prepare(path, read_only=read_only)
        mode = "ro" if read_only else "rw"
        address = f"{path.absolute().as_uri()}?mode={mode}"
        try:
            self._connection = sqlite3.connect(
                address, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from None
        try:
            self._open(steps)
            self._file = _identity(path)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.DatabaseError) and not _is_busy(error):
                raise _unusable(path, str(error)) from None
            raise

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows in one transaction; one whose id is there already changes nothing."""
        self._see_file()
        values = [_values(row) for row in rows]
        begin = 0
        with self.transaction():
            for size, statement in _INSERTS.items():
                while len(values) - begin >= size:
                    group = values[begin : begin + size]
                    self._connection.execute(statement, [one for row in group for one in row])
                    begin += size

    def _see_file(self) -> None:
        """See that the file is still the one that was opened.

        A file that was removed takes rows and keeps none of them, without a word. Whoever writes
        opens the path anew after an error.
        """
        if _identity(self._path) != self._file:
            raise sqlite3.OperationalError("the file was moved, removed or replaced")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        return self._connection.execute(sql, parameters).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on one view. Who may write takes the lock at once: no upgrade fails."""
        self._connection.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def money_columns(self, name: str) -> tuple[str, ...]:
        """Whole nano-dollars, and the atto-dollars beyond them."""
        return (f"{name}_nano", f"{name}_atto")

    def atto(self, values: Sequence[Any]) -> int:
        """Atto-dollars of the two columns."""
        nano, atto = values
        return int(nano or 0) * _NANO + int(atto or 0)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _open(self, steps: Sequence[Step]) -> None:
        ((application,),) = self.query("PRAGMA application_id")
        ((tables,),) = self.query("SELECT COUNT(*) FROM sqlite_master")
        if self._read_only and not tables:
            raise _unusable(self._path, "there is nothing in it")
        if application != APPLICATION_ID and tables:
            raise StoreError(
                "it is another program's database, not a ledger",
                where=self.name,
                hint="Name another file; this one is left as it is.",
            )
        if self._read_only:
            ((version,),) = self.query("SELECT version FROM pilotage_ledger")
            check(version, len(steps), self.name)
            return
        self.query("PRAGMA journal_mode = WAL")
        self.query("PRAGMA synchronous = NORMAL")
        with self.transaction():
            self.query(f"PRAGMA application_id = {APPLICATION_ID}")
            migrate(self, steps)


def _values(row: Row) -> tuple[Any, ...]:
    values = msgspec.structs.astuple(row)
    nano, atto = divmod(atto_of(row.cost), _NANO)
    return (*values[:_COST], nano, atto, *values[_COST + 1 :])


def _prepare(path: Path, *, read_only: bool) -> None:
    """Make the file, for its owner alone, or see that it may be a database."""
    try:
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives -wal and -shm the mode of the file itself.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        if not path.is_file():
            raise _unusable(path, "it is not a file" if path.exists() else "there is no such file")
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    if head not in {b"", _MAGIC}:
        raise _unusable(path, "it is not a SQLite database")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _unusable(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the ledger cannot be used ({reason})",
        where=str(path),
        hint="Restore it from a copy, move it away to begin a new one, or name another file.",
    )
