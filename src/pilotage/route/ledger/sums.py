"""The sums that are asked of a ledger, each stated once for both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilotage.route.ledger.store import Store

COUNTS = ("attempts", "errors", "cancelled", "prompt_tokens", "completion_tokens")
"""Columns of the day sums that are no money, in the order of `grouped`."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What a key asked for within one second.

    Attributes:
        at: The second, Unix time.
        requests: How many.
        tokens: Prompt and completion tokens of all their attempts.
    """

    at: float
    requests: int
    tokens: int


def spend_since(store: Store, day: int) -> dict[tuple[str, int], int]:
    """Atto-dollars spent by key and day, from a day on."""
    columns = ", ".join(store.money_columns("cost"))
    rows = store.query(
        f"SELECT key_id, day, {columns} FROM pilotage_spend WHERE day >= ?",  # noqa: S608
        (day,),
    )
    return {(row[0], row[1]): store.atto(row[2:]) for row in rows}


def recent_by_key(store: Store, since: float) -> dict[str, list[Recent]]:
    """What the keys asked for since a moment, by the second, oldest first."""
    rows = store.query(
        """
        SELECT key_id, MIN(at) AS began, SUM(prompt_tokens + completion_tokens)
        FROM pilotage_attempts WHERE at >= ? AND key_id IS NOT NULL
        GROUP BY key_id, request_id ORDER BY began
        """,
        (since,),
    )
    found: dict[str, list[Recent]] = {}
    for key_id, began, tokens in rows:
        held, second = found.setdefault(key_id, []), float(began // 1)
        if held and held[-1].at == second:
            last = held.pop()
            held.append(Recent(second, last.requests + 1, last.tokens + int(tokens)))
        else:
            held.append(Recent(second, 1, int(tokens)))
    return found


def grouped(store: Store, where: str) -> str:
    """A SELECT of day, key (empty for none), tier, role, `COUNTS` and two amounts.

    The amounts are the cost of all attempts and that of the cancelled ones, each as
    `Store.money_columns` has it.

    Args:
        store: The database.
        where: A condition on the attempts.
    """
    money = [
        f"SUM(CASE WHEN {which} THEN {column} ELSE 0 END)"
        for which in ("1 = 1", "outcome = 'cancelled'")
        for column in store.money_columns("cost")
    ]
    return f"""
        SELECT day, COALESCE(key_id, '') AS paid_by, tier, role,
            COUNT(*),
            SUM(CASE WHEN outcome = 'error' THEN 1 ELSE 0 END),
            SUM(CASE WHEN outcome = 'cancelled' THEN 1 ELSE 0 END),
            SUM(prompt_tokens), SUM(completion_tokens),
            {", ".join(money)}
        FROM pilotage_attempts WHERE {where}
        GROUP BY day, COALESCE(key_id, ''), tier, role
    """  # noqa: S608 - our own conditions


def requests_by_day(where: str) -> str:
    """A SELECT of day, key (empty for none), requests, and how many of them were escalated.

    A request is one that an answer or a draft was made for; it belongs to the day of the first. It
    was escalated if a draft of it was not good enough.

    Args:
        where: A condition on the attempts.
    """
    return f"""
        SELECT day, paid_by, COUNT(*), SUM(escalated) FROM (
            SELECT MIN(day) AS day, MIN(COALESCE(key_id, '')) AS paid_by,
                MAX(CASE WHEN role = 'draft' THEN 1 ELSE 0 END) AS escalated
            FROM pilotage_attempts
            WHERE {where} AND role IN ('answer', 'draft')
            GROUP BY request_id
        ) AS asked GROUP BY day, paid_by
    """  # noqa: S608 - our own conditions


def marks(values: Sequence[Any]) -> str:
    """As many parameters as there are values, for ``IN (…)``."""
    return ", ".join("?" * len(values))
