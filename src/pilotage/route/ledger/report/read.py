"""Reading a report out of a ledger: rows that are there, and sums of those that were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pilotage.route.attempt import Role
from pilotage.route.ledger.calendar import date_of, day_of, moment
from pilotage.route.ledger.money import dollars_of
from pilotage.route.ledger.report.result import DayLine, Line, Report
from pilotage.route.ledger.report.savings import savings
from pilotage.route.ledger.store import Store
from pilotage.route.ledger.sums import COUNTS, grouped, requests_by_day

NO_KEY: Final = "-"
_OVERHEAD: Final = {Role.CLASSIFIER, Role.JUDGE, Role.SAMPLE}
_MEASURING: Final = {Role.SHADOW, Role.AUDIT}


@dataclass(frozen=True, slots=True)
class _Sum:
    """Attempts of one day, key, tier and role."""

    day: int
    key: str
    tier: str
    role: str
    attempts: int
    errors: int
    cancelled: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    cancelled_cost: int


def report(store: Store, since: float, until: float) -> Report:
    """Add a ledger up.

    Args:
        store: The ledger, of `pilotage.route.ledger.place.Place.read`.
        since: Unix seconds, inclusive. A day of which only sums are left counts as a whole.
        until: Unix seconds, exclusive.
    """
    first, last = day_of(since), day_of(max(since, until - 1e-6))
    # On one view: a row must not be seen twice, or not at all, because it is folded meanwhile.
    with store.transaction():
        sums, folded = _sums(store, since, until, first, last)
        asked = _requests(store, since, until, first, last)
        found, note = savings(store, since, until)
    requests = sum(one for one, _ in asked.values())
    escalated = sum(one for _, one in asked.values())
    return Report(
        ledger=store.name,
        since=moment(since),
        until=moment(until),
        folded_days=folded,
        requests=requests,
        escalated=escalated,
        escalation_rate=escalated / requests if requests else None,
        attempts=sum(one.attempts for one in sums),
        cost=_cost(sums),
        overhead_cost=_cost(one for one in sums if one.role in _OVERHEAD),
        drafts_cost=_cost(one for one in sums if one.role == Role.DRAFT),
        cancelled_drafts_cost=dollars_of(
            sum(one.cancelled_cost for one in sums if one.role == Role.DRAFT)
        ),
        measuring_cost=_cost(one for one in sums if one.role in _MEASURING),
        by_tier=_lines(sums, lambda one: one.tier),
        by_key=_lines(sums, lambda one: one.key or NO_KEY),
        by_role=_lines(sums, lambda one: one.role),
        by_day=_days(sums, asked, first, last),
        savings=found,
        savings_note=note,
    )


def _sums(
    store: Store, since: float, until: float, first: int, last: int
) -> tuple[list[_Sum], int]:
    """All sums, and of how many days there were some that had been folded before."""
    columns = [
        *COUNTS,
        *store.money_columns("cost"),
        *store.money_columns("cancelled_cost"),
    ]
    folded = store.query(
        f"SELECT day, key_id, tier, role, {', '.join(columns)} "  # noqa: S608 - our own names
        "FROM pilotage_day_sums WHERE day >= ? AND day <= ?",
        (first, last),
    )
    kept = store.query(grouped(store, "at >= ? AND at < ?"), (since, until))
    sums = [_sum(store, row) for row in (*folded, *kept)]
    return sums, len({row[0] for row in folded})


def _sum(store: Store, row: tuple[Any, ...]) -> _Sum:
    day, key, tier, role, *rest = row
    counts, amounts = [int(one) for one in rest[: len(COUNTS)]], rest[len(COUNTS) :]
    half = len(amounts) // 2
    attempts, errors, cancelled, prompt_tokens, completion_tokens = counts
    return _Sum(
        day=day,
        key=key,
        tier=tier,
        role=role,
        attempts=attempts,
        errors=errors,
        cancelled=cancelled,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=store.atto(amounts[:half]),
        cancelled_cost=store.atto(amounts[half:]),
    )


def _requests(
    store: Store, since: float, until: float, first: int, last: int
) -> dict[int, tuple[int, int]]:
    """Requests and escalated ones by day."""
    rows = store.query(
        "SELECT day, key_id, requests, escalated FROM pilotage_day_requests "
        "WHERE day >= ? AND day <= ?",
        (first, last),
    ) + store.query(requests_by_day("at >= ? AND at < ?"), (since, until))
    found: dict[int, tuple[int, int]] = {}
    for day, _, requests, escalated in rows:
        before = found.get(day, (0, 0))
        found[day] = (before[0] + int(requests), before[1] + int(escalated))
    return found


def _lines(sums: list[_Sum], name_of: Callable[[_Sum], str]) -> list[Line]:
    groups: dict[str, list[_Sum]] = {}
    for one in sums:
        groups.setdefault(name_of(one), []).append(one)
    lines = [
        Line(
            name=name,
            attempts=sum(one.attempts for one in group),
            answered=sum(
                one.attempts - one.errors - one.cancelled
                for one in group
                if one.role == Role.ANSWER
            ),
            errors=sum(one.errors for one in group),
            cancelled=sum(one.cancelled for one in group),
            prompt_tokens=sum(one.prompt_tokens for one in group),
            completion_tokens=sum(one.completion_tokens for one in group),
            cost=_cost(group),
        )
        for name, group in groups.items()
    ]
    return sorted(lines, key=lambda line: (-line.cost, line.name))


def _days(
    sums: list[_Sum], asked: dict[int, tuple[int, int]], first: int, last: int
) -> list[DayLine]:
    by_day: dict[int, dict[str, int]] = {}
    for one in sums:
        tiers = by_day.setdefault(one.day, {})
        tiers[one.tier] = tiers.get(one.tier, 0) + one.cost
    days = []
    # "The last ten years" of a ledger that began last week is a week.
    for day in range(max(first, min(by_day, default=last)), last + 1):
        tiers = by_day.get(day, {})
        requests, escalated = asked.get(day, (0, 0))
        days.append(
            DayLine(
                day=date_of(day),
                requests=requests,
                escalated=escalated,
                cost=dollars_of(sum(tiers.values())),
                by_tier={tier: dollars_of(cost) for tier, cost in sorted(tiers.items())},
            )
        )
    return days


def _cost(sums: Iterable[_Sum]) -> Decimal:
    return dollars_of(sum(one.cost for one in sums))
