"""The ledger in PostgreSQL, which several gateways may share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec

from pilotage.errors import StoreError, UsageError
from pilotage.route.ledger.money import atto_of_sum
from pilotage.route.ledger.rows import Row
from pilotage.route.ledger.schema import POSTGRES_STEPS, Step, check, migrate

_LOCK: Final = 0x504C_5447  # so that one gateway at a time makes the tables
_CONNECT_S: Final = 5
_STATEMENT_MS: Final = 15_000
_FINAL: Final = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password",
    "invalid ",
)

_TYPES: Final = {
    "at": "float8", "latency_s": "float8", "ttft_s": "float8", "day": "int4",
    "prompt_tokens": "int8", "completion_tokens": "int8", "cache_read_tokens": "int8",
    "cache_write_tokens": "int8", "images": "int8", "estimated": "bool", "cost": "numeric",
}  # fmt: skip
_NAMES: Final = ", ".join(Row.__struct_fields__)
_ARRAYS: Final = ", ".join(f"%s::{_TYPES.get(name, 'text')}[]" for name in Row.__struct_fields__)
# One statement, so one transaction and one round trip: what a row costs is spent when, and only
# when, the row is new. Keys are locked in one order, so that gateways do not wait in a circle.
_INSERT: Final = f"""
    WITH added AS (
        INSERT INTO pilotage_attempts ({_NAMES}) SELECT * FROM unnest({_ARRAYS})
        ON CONFLICT (id) DO NOTHING RETURNING key_id, day, cost
    )
    INSERT INTO pilotage_spend (key_id, day, cost)
    SELECT key_id, day, SUM(cost) FROM added WHERE key_id IS NOT NULL
    GROUP BY key_id, day ORDER BY key_id, day
    ON CONFLICT (key_id, day) DO UPDATE SET cost = pilotage_spend.cost + excluded.cost
"""  # noqa: S608 - our own names


class PostgresStore:
    """A connection.

    Args:
        url: A ``postgresql://`` address.
        psycopg: The driver, of `psycopg_driver`.
        read_only: Change nothing, and insist that the tables are there.
        steps: The versions of the tables.

    Raises:
        StoreError: It cannot ever be opened so: no such database or user, no tables to read, or
            those of a newer Pilotage.
        psycopg.OperationalError: It cannot be reached now.
    """

    def __init__(
        self,
        url: str,
        psycopg: ModuleType,
        *,
        read_only: bool = False,
        steps: Sequence[Step] = POSTGRES_STEPS,
    ) -> None:
        self._name = shown_name(url, psycopg)
        try:
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,  # prepared statements do not pass poolers
                application_name="pilotage-ledger",
                connect_timeout=_CONNECT_S,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=1000 * _CONNECT_S * 2,
            )
        except psycopg.OperationalError as error:
            text = str(error)
            if any(phrase in text for phrase in _FINAL):
                raise self._refused(text.splitlines()[-1]) from None
            raise
        try:
            self.query(f"SET statement_timeout = {_STATEMENT_MS}")
            if read_only:
                self.query("SET default_transaction_read_only = on")
            self._open(read_only, steps)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError):
                raise self._refused(str(error).splitlines()[0]) from None
            raise

    @property
    def name(self) -> str:
        """The address, without user and password."""
        return self._name

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows in one transaction; one whose id is there already changes nothing."""
        if rows:
            columns = zip(*(msgspec.structs.astuple(row) for row in rows), strict=True)
            self._connection.execute(_INSERT, [list(column) for column in columns])

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        cursor = self._connection.execute(sql.replace("?", "%s"), parameters)
        return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on one view of the data.

        One that meets another which changed the same rows fails as a whole, to be tried again.
        """
        with self._connection.transaction():
            self.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    def money_columns(self, name: str) -> tuple[str, ...]:
        """The one NUMERIC column."""
        return (name,)

    def atto(self, values: Sequence[Any]) -> int:
        """Atto-dollars of the column."""
        (amount,) = values
        return atto_of_sum(amount)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _open(self, read_only: bool, steps: Sequence[Step]) -> None:
        ((there,),) = self.query("SELECT to_regclass('pilotage_ledger') IS NOT NULL")
        if there:
            held = self.query("SELECT version FROM pilotage_ledger")
            check(held[0][0] if held else 0, len(steps), self._name)
            if read_only or (held and held[0][0] == len(steps)):
                return
        elif read_only:
            raise self._refused("there is no ledger in it")
        with self._connection.transaction():
            self.query("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
            migrate(self, steps)

    def _refused(self, reason: str) -> StoreError:
        return StoreError(
            f"the ledger cannot be opened ({reason})",
            where=self._name,
            hint="Check the address, its user's rights, and that the database is there.",
        )


def psycopg_driver() -> ModuleType:
    """The driver, imported only for ledgers that need it.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "a ledger in PostgreSQL needs psycopg",
            where="ledger",
            hint="Install it with: pip install 'pilotage[postgres]'",
        ) from None
    return psycopg


def shown_name(url: str, psycopg: ModuleType) -> str:
    """An address for people, without user and password.

    Raises:
        UsageError: It cannot be read as an address.
    """
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        host, port = parts.get("host", "localhost"), str(parts.get("port", 5432))
        for one in port.split(","):
            int(one or 5432)
    except (psycopg.Error, ValueError):
        # The driver's text quotes the address, and with it the password.
        raise UsageError(
            "it is not a PostgreSQL address",
            where="ledger",
            hint="It reads postgresql://user:password@host:5432/database.",
        ) from None
    return f"postgresql://{host}:{port}/{parts.get('dbname', '')}"
