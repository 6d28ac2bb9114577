"""What routing saved against the big tier, from the requests that the big tier shadowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pilotage.route.ledger.money import dollars_of
from pilotage.route.ledger.report.result import Savings
from pilotage.route.ledger.store import Store
from pilotage.route.ledger.sums import marks

_RESAMPLES: Final = 2000
_SMALL: Final = 30
_SEED: Final = 7
_NANO: Final = Decimal(10) ** -9
_NANO_ATTO: Final = 10**9

NO_SHADOW: Final = (
    "What was saved is not known: no request of this time was shadowed by the big tier. "
    "routing.shadow_share above 0 measures it."
)


@dataclass(frozen=True, slots=True)
class _Group:
    """Answered requests: how many, what they cost, and the big tier's answers among that."""

    requests: int = 0
    routed: int = 0
    big: int = 0


def savings(store: Store, since: float, until: float) -> tuple[Savings | None, str]:
    """The savings between two Unix times, and a word on them; None if they cannot be told."""
    tiers = [
        row[0]
        for row in store.query(
            "SELECT DISTINCT tier FROM pilotage_attempts "
            "WHERE role = 'shadow' AND outcome = 'ok' AND at >= ? AND at < ? ORDER BY tier",
            (since, until),
        )
    ]
    if not tiers:
        return None, NO_SHADOW
    others, own = _groups(store, tiers, since, until)
    shadows = _shadows(store, tiers, since, until)
    if not shadows and others.requests:
        return None, NO_SHADOW
    big = own.big + _estimate(shadows, others.requests)
    paid = own.routed + others.routed
    low = high = None
    if len(shadows) > 1 or not others.requests:
        means = _interval(shadows) if others.requests else (0.0, 0.0)
        low, high = (own.big + round(one * others.requests) for one in means)
    return (
        Savings(
            tiers=tiers,
            requests=own.requests + others.requests,
            sample=len(shadows),
            routed_cost=dollars_of(paid),
            big_cost=dollars_of(big),
            saved=dollars_of(big - paid),
            saved_low=None if low is None else _rounded(low - paid),
            saved_high=None if high is None else _rounded(high - paid),
            share=_share(big, paid),
            share_low=None if low is None else _share(low, paid),
            share_high=None if high is None else _share(high, paid),
        ),
        _note(len(shadows), others.requests),
    )


def _groups(
    store: Store, tiers: Sequence[str], since: float, until: float
) -> tuple[_Group, _Group]:
    """Requests that other tiers answered, and those that the big one did."""
    money = store.money_columns("cost")
    amounts = [f"SUM({kind}_{index})" for kind in ("routed", "big") for index in range(len(money))]
    asked, parameters = _asked(store, tiers, since, until)
    rows = store.query(
        f"SELECT by_big, COUNT(*), {', '.join(amounts)} FROM ({asked}) AS asked "  # noqa: S608
        "WHERE answered = 1 GROUP BY by_big",
        parameters,
    )
    found = {
        bool(by_big): _Group(
            int(requests),
            store.atto(sums[: len(money)]),
            store.atto(sums[len(money) :]),
        )
        for by_big, requests, *sums in rows
    }
    return found.get(False, _Group()), found.get(True, _Group())


def _shadows(store: Store, tiers: Sequence[str], since: float, until: float) -> list[int]:
    """What the shadow's answers cost, of requests that other tiers answered."""
    columns = ", ".join(f"shadow_{index}" for index in range(len(store.money_columns("cost"))))
    asked, parameters = _asked(store, tiers, since, until)
    rows = store.query(
        f"SELECT {columns} FROM ({asked}) AS asked "  # noqa: S608
        "WHERE answered = 1 AND by_big = 0 AND shadowed = 1 ORDER BY request_id",
        parameters,
    )
    return [store.atto(row) for row in rows]


def _asked(
    store: Store, tiers: Sequence[str], since: float, until: float
) -> tuple[str, list[str | float]]:
    """A SELECT of requests: what was paid for each, and what the big tier took."""
    ours = f"role = 'answer' AND outcome = 'ok' AND tier IN ({marks(tiers)})"
    kinds = {
        "routed": "role IN ('answer', 'draft', 'classifier', 'judge', 'sample')",
        "big": ours,
        "shadow": "role = 'shadow' AND outcome = 'ok'",
    }
    columns = store.money_columns("cost")
    amounts = [
        f"SUM(CASE WHEN {which} THEN {column} ELSE 0 END) AS {kind}_{index}"
        for kind, which in kinds.items()
        for index, column in enumerate(columns)
    ]
    flags = {
        "answered": "role = 'answer' AND outcome = 'ok'",
        "by_big": ours,
        "shadowed": kinds["shadow"],
    }
    marked = [
        f"MAX(CASE WHEN {which} THEN 1 ELSE 0 END) AS {name}" for name, which in flags.items()
    ]
    sql = (
        f"SELECT request_id, {', '.join((*amounts, *marked))} "  # noqa: S608 - our own names
        "FROM pilotage_attempts WHERE at >= ? AND at < ? GROUP BY request_id"
    )
    # The tiers' parameters come where their condition does: once an amount, once in a flag.
    return sql, [*list(tiers) * (len(columns) + 1), since, until]


def _estimate(shadows: Sequence[int], requests: int) -> int:
    """The mean of the shadows for every request, in whole nano-dollars: finer would be pretence."""
    if not shadows:
        return 0
    return round(Fraction(sum(shadows) * requests, len(shadows) * _NANO_ATTO)) * _NANO_ATTO


def _interval(values: Sequence[int]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean."""
    import numpy as np  # noqa: PLC0415 - reports only

    rng = np.random.default_rng(_SEED)
    costs = np.array([float(value) for value in values])
    means = [costs[rng.integers(0, len(costs), len(costs))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _share(big: int, paid: int) -> float | None:
    return (big - paid) / big if big else None


def _rounded(atto: int) -> Decimal:
    return dollars_of(atto).quantize(_NANO)


def _note(sample: int, others: int) -> str:
    if others and sample < _SMALL:
        return (
            f"Only {sample} of the requests that other tiers answered were shadowed: "
            "take the savings for a first idea."
        )
    return ""
