"""The search: of every instance type, number format, split and strategy, the cheapest that does.

1. Every layout of one copy (`pilotage.plan.candidates`) is held against memory, against the
   hardware's floor, and gets a quick estimate of what it can carry (`pilotage.plan.capacity`).
2. The layouts are simulated in the order of what they are estimated to cost, each with as many
   copies as it takes (`pilotage.plan.sizing`), until the rest cannot be cheaper.
3. Each sized layout becomes an option on the cheapest instance types that hold it, in every
   strategy; each strategy's own limits and the budget have their say (`pilotage.plan.offers`).
4. The cheapest that nothing stands in the way of is simulated once more, for longer.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from pilotage.catalog.prices import PriceBook
from pilotage.plan.answer import plan_of
from pilotage.plan.engine_choice import ON_INSTANCES, without_engine
from pilotage.plan.found import Found, Judged
from pilotage.plan.hosts import Row, cheapest, hosts
from pilotage.plan.interruptions import interruption_check
from pilotage.plan.offers import Offers
from pilotage.plan.option import Option, Strategy
from pilotage.plan.question import Question, check
from pilotage.plan.rating import Misfit, rate
from pilotage.plan.sizing import Rated, Sized, Sizer

MOST_SIMULATED: Final = 6
"""Layouts that are simulated at most."""

_MACHINES_A_LAYOUT: Final = 3
_SURELY_DEARER: Final = 1.4
"""An estimate is trusted this far: a layout whose estimated cost is so many times that of a
simulated one is left out."""


def search(
    question: Question,
    prices: PriceBook,
    *,
    extra: Iterable[Option] = (),
    now: datetime | None = None,
    headroom: bool = True,
) -> Found:
    """The cheapest deployment that fits, keeps every promise and stays within the budget.

    Args:
        question: What is asked.
        prices: Of the region.
        extra: Options that were judged elsewhere, such as this very machine.
        now: When; for the plan's date.
        headroom: Whether to find out what the plan would carry beyond the peak. Without, its
            `requests_per_s` is the peak itself and idle capacity is taken to be all beyond the
            mean; the choice and its price are the same.

    Raises:
        SpecError: The question contradicts itself.
        UsageError: A figure makes no sense.
    """
    began = time.perf_counter()
    check(question)
    offers, sizer = Offers(question, prices), Sizer(question)
    rated, misfits = rate(question)
    sized = _simulated(question, offers, sizer, rated)
    judged = [
        *(one for each in sized for one in _options(offers, each)),
        *(Judged(option=offers.provided(one)) for one in _provided(question)),
        *(Judged(option=one) for one in without_engine(question)),
        *(Judged(option=one) for one in extra),
    ]
    judged, chosen = _chosen(offers, sizer, judged, headroom=headroom)
    nearest = _misfits(offers, misfits)
    plan = plan_of(offers, judged, chosen, nearest)
    told = interruption_check(offers, sizer, chosen)
    plan = dataclasses.replace(
        plan,
        notes=plan.notes if told is None else (*plan.notes, told),
        created_at=now or datetime.now(UTC),
        considered=len(judged) + len(misfits) + len(rated) - len(sized),
        seconds=time.perf_counter() - began,
    )
    return Found(
        plan=plan,
        judged=tuple(judged),
        rated=tuple(rated),
        chosen=chosen,
        offers=offers,
        sizer=sizer,
    )


def _simulated(question: Question, offers: Offers, sizer: Sizer, rated: list[Rated]) -> list[Sized]:
    peak = question.demand.busiest_rate
    queue: list[tuple[Row, Rated]] = []
    for one in rated:
        copies = max(1, math.ceil(peak / one.capacity.requests_per_s))
        rows = cheapest(offers, one.layout, copies)
        if rows:
            queue.append((rows[0], one))
    queue.sort(key=lambda row: (row[0].unknown, row[0].usd_per_hour))
    found: list[Sized] = []
    best = math.inf
    for expected, one in queue:
        dearer = expected.unknown or expected.usd_per_hour > _SURELY_DEARER * best
        if (dearer and best < math.inf) or len(found) >= MOST_SIMULATED:
            break
        sized = sizer.size(one)
        found.append(sized)
        row = cheapest(offers, one.layout, sized.copies)[0]
        if not sized.obstacles and not row.unknown:
            best = min(best, row.usd_per_hour)
    return found


def _options(offers: Offers, sized: Sized) -> Iterable[Judged]:
    layout = sized.rated.layout
    for row in cheapest(offers, layout, sized.copies)[:_MACHINES_A_LAYOUT]:
        for strategy in offers.strategies(row.machine):
            option = offers.sized(sized, row.machine, strategy)
            yield Judged(option=option, sized=sized, machine=row.machine)


def _provided(question: Question) -> Iterable[Strategy]:
    return (one for one in question.strategies if one not in ON_INSTANCES)


def _chosen(
    offers: Offers, sizer: Sizer, judged: list[Judged], *, headroom: bool
) -> tuple[list[Judged], Judged | None]:
    """The cheapest feasible one, seen to hold in a long simulation."""
    confirmed: set[int] = set()
    while True:
        judged.sort(key=_order)
        first = next((one for one in judged if one.option.feasible), None)
        if first is None or first.sized is None or id(first.sized) in confirmed:
            return judged, first
        sure = sizer.confirm(first.sized, headroom=headroom)
        confirmed.add(id(sure))
        old = first.sized
        judged = [one for one in judged if one.sized is not old]
        judged += _options(offers, sure)


def _order(one: Judged) -> tuple[bool, float, int]:
    """Feasible before infeasible, cheap before dear; of equals, what keeps itself alive."""
    cost = one.option.cost.usd_per_month if one.option.cost else math.inf
    return not one.option.feasible, cost, one.option.configuration.strategy == "machine"


def _misfits(offers: Offers, misfits: list[Misfit]) -> list[Option]:
    """Each layout that does not do, on the smallest machine that would hold it."""
    found = []
    for misfit in misfits:
        able = hosts(offers, misfit.layout)
        if not able:
            continue
        strategy = next(
            (one for one in offers.strategies(able[0]) if one != "machine"),
            offers.strategies(able[0])[0],
        )
        found.append(offers.misfit(misfit.layout, able[0], strategy, misfit.obstacles))
    return found
