"""Rows that are too old become sums a day: what was spent stays known, who asked what does not."""

from __future__ import annotations

from pilotage.route.ledger.store import Store
from pilotage.route.ledger.sums import COUNTS, grouped, marks, requests_by_day


def fold(store: Store, before: float, most: int) -> int:
    """Fold the oldest requests into the day sums and delete their rows, all in one transaction.

    A request goes as a whole, once its first attempt is old enough, so that the numbers of
    requests and of escalated ones stay exact too. What keys spent a day is kept apart and is not
    touched.

    Args:
        store: The database.
        before: Unix seconds; requests that began earlier are folded.
        most: How many of the oldest rows say which requests, to keep others waiting only shortly.

    Returns:
        How many requests were folded; 0 when none is old enough.
    """
    with store.transaction():
        found = store.query(
            "SELECT DISTINCT request_id FROM (SELECT request_id FROM pilotage_attempts "
            "WHERE at < ? ORDER BY at LIMIT ?) AS oldest",
            (before, most),
        )
        requests = [row[0] for row in found]
        if not requests:
            return 0
        these = f"request_id IN ({marks(requests)})"
        money = [
            column for name in ("cost", "cancelled_cost") for column in store.money_columns(name)
        ]
        _add(
            store,
            "pilotage_day_sums",
            ("day", "key_id", "tier", "role"),
            (*COUNTS, *money),
            select=grouped(store, these),
            parameters=requests,
        )
        _add(
            store,
            "pilotage_day_requests",
            ("day", "key_id"),
            ("requests", "escalated"),
            select=requests_by_day(these),
            parameters=requests,
        )
        store.query(f"DELETE FROM pilotage_attempts WHERE {these}", requests)  # noqa: S608
    return len(requests)


def _add(
    store: Store,
    table: str,
    keys: tuple[str, ...],
    sums: tuple[str, ...],
    *,
    select: str,
    parameters: list[str],
) -> None:
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    store.query(
        f"INSERT INTO {table} ({', '.join((*keys, *sums))}) {select} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}",
        parameters,
    )
