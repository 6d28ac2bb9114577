"""What a ledger needs of a database: one small interface, with SQLite and PostgreSQL behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pilotage.route.ledger.rows import Row


class Store(Protocol):
    """One connection to a database whose tables are there; used by one thread at a time.

    SQL is written once for both databases, with ``?`` for parameters. Only money differs: an
    amount is one NUMERIC column in PostgreSQL and two INTEGER ones in SQLite, which has no exact
    decimals; both add up exactly.

    Every method raises the driver's errors: whoever calls knows whether to try again.
    """

    @property
    def name(self) -> str:
        """The database for people: a path, or an address without user and password."""

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows in one transaction, and what they cost to the keys' spend.

        A row whose id is there already changes nothing.
        """

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; its rows, none where it has no result."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, of what `query` runs within, on one unchanging view of the data."""

    def money_columns(self, name: str) -> tuple[str, ...]:
        """The columns that hold the amount called ``name``, to be summed one by one."""

    def atto(self, values: Sequence[Any]) -> int:
        """The atto-dollars of (sums of) `money_columns`, in their order; NULL is nothing."""

    def close(self) -> None:
        """Let go of it."""
