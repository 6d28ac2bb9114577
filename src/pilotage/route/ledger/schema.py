"""The ledger's tables, by version, and how a database gets from one version to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.errors import StoreError
from pilotage.route.ledger.store import Store

Step = tuple[str, ...]
"""Statements that bring the tables from one version to the next."""

_COLUMNS: Final = """
    id TEXT PRIMARY KEY NOT NULL,
    request_id TEXT NOT NULL,
    at {float} NOT NULL,
    day INTEGER NOT NULL,
    key_id TEXT,
    role TEXT NOT NULL,
    tier TEXT NOT NULL,
    backend TEXT NOT NULL,
    asked_model TEXT NOT NULL,
    served_model TEXT NOT NULL,
    prompt_tokens {int} NOT NULL,
    completion_tokens {int} NOT NULL,
    cache_read_tokens {int} NOT NULL,
    cache_write_tokens {int} NOT NULL,
    images {int} NOT NULL,
    estimated {bool} NOT NULL,
    {cost},
    latency_s {float} NOT NULL,
    ttft_s {float},
    outcome TEXT NOT NULL,
    fault TEXT,
    decision TEXT NOT NULL,
    scores TEXT NOT NULL
"""

_DAY_SUMS: Final = """
    day INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    tier TEXT NOT NULL,
    role TEXT NOT NULL,
    attempts {int} NOT NULL,
    errors {int} NOT NULL,
    cancelled {int} NOT NULL,
    prompt_tokens {int} NOT NULL,
    completion_tokens {int} NOT NULL,
    {cost},
    {cancelled_cost},
    PRIMARY KEY (day, key_id, tier, role)
"""

_DAY_REQUESTS: Final = """
    day INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    requests {int} NOT NULL,
    escalated {int} NOT NULL,
    PRIMARY KEY (day, key_id)
"""

_SPEND: Final = """
    key_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    {cost},
    PRIMARY KEY (key_id, day)
"""

_INDEXES: Final = (
    "CREATE INDEX pilotage_attempts_at ON pilotage_attempts (at)",
    "CREATE INDEX pilotage_attempts_request ON pilotage_attempts (request_id)",
    "CREATE INDEX pilotage_spend_day ON pilotage_spend (day)",
)


def _tables(types: dict[str, str]) -> Step:
    tables = (
        ("pilotage_attempts", _COLUMNS),
        ("pilotage_day_sums", _DAY_SUMS),
        ("pilotage_day_requests", _DAY_REQUESTS),
        ("pilotage_spend", _SPEND),
    )
    return tuple(f"CREATE TABLE {name} ({body.format(**types)})" for name, body in tables)


def _halves(name: str) -> str:
    return f"{name}_nano INTEGER NOT NULL, {name}_atto INTEGER NOT NULL"


SQLITE_STEPS: Final[tuple[Step, ...]] = (
    (
        *_tables(
            {
                "float": "REAL",
                "int": "INTEGER",
                "bool": "INTEGER",
                "cost": _halves("cost"),
                "cancelled_cost": _halves("cancelled_cost"),
            }
        ),
        *_INDEXES,
        # A row that was there already fires no trigger, so no attempt is spent twice.
        """
        CREATE TRIGGER pilotage_attempts_spend AFTER INSERT ON pilotage_attempts
        WHEN NEW.key_id IS NOT NULL
        BEGIN
            INSERT INTO pilotage_spend (key_id, day, cost_nano, cost_atto)
            VALUES (NEW.key_id, NEW.day, NEW.cost_nano, NEW.cost_atto)
            ON CONFLICT (key_id, day) DO UPDATE SET
                cost_nano = cost_nano + excluded.cost_nano,
                cost_atto = cost_atto + excluded.cost_atto;
        END
        """,
    ),
)

POSTGRES_STEPS: Final[tuple[Step, ...]] = (
    (
        *_tables(
            {
                "float": "DOUBLE PRECISION",
                "int": "BIGINT",
                "bool": "BOOLEAN",
                "cost": "cost NUMERIC(38, 18) NOT NULL",
                "cancelled_cost": "cancelled_cost NUMERIC(38, 18) NOT NULL",
            }
        ),
        *_INDEXES,
    ),
)


def migrate(store: Store, steps: Sequence[Step]) -> None:
    """Bring the tables to the version that ``steps`` lead to; within a transaction.

    Raises:
        StoreError: They are of a newer version than this program knows.
    """
    store.query("CREATE TABLE IF NOT EXISTS pilotage_ledger (version INTEGER NOT NULL)")
    held = store.query("SELECT version FROM pilotage_ledger")
    version = held[0][0] if held else 0
    check(version, len(steps), store.name)
    for step in steps[version:]:
        for statement in step:
            store.query(statement)
    if not held:
        store.query("INSERT INTO pilotage_ledger (version) VALUES (?)", (len(steps),))
    elif version < len(steps):
        store.query("UPDATE pilotage_ledger SET version = ?", (len(steps),))


def check(version: int, known: int, name: str) -> None:
    """Refuse a ledger of a newer version.

    Raises:
        StoreError: It is.
    """
    if version > known:
        raise StoreError(
            f"the ledger was written by a newer Pilotage (its version is {version}, "
            f"this one knows up to {known})",
            where=name,
            hint="Upgrade Pilotage, or name another ledger.",
        )
