"""Attempts for tests, and ledgers whose writing is quick."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.ledger import Ledger
from pilotage.route.ledger.pace import Pace
from pilotage.route.ledger.sqlite import SqliteStore

NOON = 1_772_020_800.0  # 2026-02-25 12:00 UTC
DAY = 86_400.0
KEY = "abcd1234"

_numbers = itertools.count()


def attempt(**changes: Any) -> Attempt:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"a{number}",
        "request_id": f"r{number}",
        "at": NOON,
        "key_id": KEY,
        "role": Role.ANSWER,
        "tier": "small",
        "backend": "small/0",
        "asked_model": "s-1",
        "served_model": "s-1-2026",
        "usage": Usage(prompt_tokens=100, completion_tokens=10),
        "cost": Decimal("0.001"),
        "latency_s": 0.5,
        "ttft_s": 0.1,
        "outcome": Outcome.OK,
    }
    return Attempt(**{**fields, **changes})


def ledger_at(path: Path, **changes: Any) -> Ledger:
    """A ledger in a SQLite file at noon of a certain day."""
    fields: dict[str, Any] = {
        "retention_s": 1e12,
        "pace": Pace(batch_s=0.001, refresh_s=0.02, retry_s=0.01, most_retry_s=0.05),
        "clock": lambda: NOON,
        "busy_s": 0.05,
    }
    fields |= changes
    busy_s = fields.pop("busy_s")
    connect: Callable[[], SqliteStore] = lambda: SqliteStore(path, busy_s=busy_s)  # noqa: E731
    return Ledger(connect, path, **fields)
