"""Several deployments under one budget, and what would have to give when they do not fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pilotage import __version__
from pilotage.catalog.prices import PriceBook
from pilotage.errors import UsageError
from pilotage.plan.demand import Demand
from pilotage.plan.found import Found
from pilotage.plan.question import Question
from pilotage.plan.result import Plan, PortfolioPlan
from pilotage.plan.search import search
from pilotage.units import format_duration, format_rate

_LOOSER: Final = 2.0
_LESS: Final = 0.5
_SCHEDULED_S: Final = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """One thing that could give.

    Attributes:
        deployment: Whose.
        what: A sentence that names it.
        saves: Dollars a month; infinity where it makes feasible what was not.
    """

    deployment: str
    what: str
    saves: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioFound:
    """A portfolio's plan, and what its searches came to know."""

    plan: PortfolioPlan
    found: tuple[Found, ...]
    relaxations: tuple[Relaxation, ...]


def plan_portfolio(
    questions: Sequence[Question],
    prices: PriceBook,
    *,
    name: str,
    usd_per_month: float | None,
    usd_per_request: float | None = None,
    plans: Sequence[Plan] = (),
    found: Sequence[Found] = (),
    now: datetime | None = None,
) -> PortfolioFound:
    """All deployments, their sum against the budget, and what to relax if it does not hold.

    Args:
        questions: One a deployment.
        prices: Of the region.
        name: Of the portfolio.
        usd_per_month: The budget of all together; None without one.
        usd_per_request: Likewise for a request of any of them, on average.
        plans: Already made, such as with sensitivities; made here if none are given.
        found: Of the same searches.
        now: When.
    """
    if not found:
        found = [search(question, prices, now=now) for question in questions]
    made = tuple(plans) or tuple(one.plan for one in found)
    plan = PortfolioPlan(
        name=name,
        created_at=now or datetime.now(UTC),
        pilotage=__version__,
        plans=made,
        usd_per_month=usd_per_month,
    )
    within = plan.fits
    if usd_per_request is not None and plan.complete:
        requests = sum(one.demand.rate for one in made) * 730 * 3600
        within = within and plan.total / requests <= usd_per_request
    relaxations: tuple[Relaxation, ...] = ()
    if not within:
        relaxations = tuple(_relaxations(questions, found, prices))
        plan = dataclasses.replace(plan, relax=tuple(_sentences(plan, relaxations)))
    return PortfolioFound(plan=plan, found=tuple(found), relaxations=relaxations)


def _relaxations(
    questions: Sequence[Question], found: Sequence[Found], prices: PriceBook
) -> Iterator[Relaxation]:
    rows = []
    for question, one in zip(questions, found, strict=True):
        before = _usd(one.plan)
        for what, changed in steps(question):
            try:
                after = _usd(search(changed, prices, headroom=False).plan)
            except UsageError:
                continue
            if after < before * 0.99:
                saves = math.inf if math.isinf(before) else before - after
                rows.append(Relaxation(deployment=question.name, what=what, saves=saves))
    yield from sorted(rows, key=lambda row: -row.saves)


def steps(question: Question) -> Iterator[tuple[str, Question]]:
    """What could give, one thing at a time."""
    demand, given = question.demand, question.assumptions
    for name in ("ttft_p99", "tpot_p99", "e2e_p99"):
        promised: float | None = getattr(demand, name)
        if promised is None:
            continue
        looser = _LOOSER * promised
        changed = _promising(demand, name, looser)
        if changed.e2e_p99 is not None and changed.e2e_p99 < (changed.ttft_p99 or 0):
            continue
        yield (
            f"promise {name} of {format_duration(looser, digits=3)} in place of "
            f"{format_duration(promised, digits=3)}",
            dataclasses.replace(question, demand=changed),
        )
    if demand.peak > demand.rate and demand.shape != "batch":
        peak = max(demand.rate, _LESS * demand.peak)
        yield (
            f"carry a peak of {format_rate(peak, digits=3)} in place of "
            f"{format_rate(demand.peak, digits=3)}",
            dataclasses.replace(question, demand=dataclasses.replace(demand, peak=peak)),
        )
        if given.burst_s < _SCHEDULED_S and demand.shape == "spiky":
            yield (
                "scale capacity by a schedule, if busy phases last 2h and are foreseen",
                dataclasses.replace(
                    question, assumptions=dataclasses.replace(given, burst_s=_SCHEDULED_S)
                ),
            )
    if given.quality != "any" and question.dtype == "auto" and question.quantization == "auto":
        yield (
            "allow weights of 8 or 4 bits (int8, AWQ)",
            dataclasses.replace(question, assumptions=dataclasses.replace(given, quality="any")),
        )


def _promising(demand: Demand, name: str, seconds: float) -> Demand:
    match name:
        case "ttft_p99":
            return dataclasses.replace(demand, ttft_p99=seconds)
        case "tpot_p99":
            return dataclasses.replace(demand, tpot_p99=seconds)
        case _:
            return dataclasses.replace(demand, e2e_p99=seconds)


def _sentences(plan: PortfolioPlan, relaxations: Sequence[Relaxation]) -> Iterator[str]:
    over = plan.total - plan.usd_per_month if plan.usd_per_month is not None else 0.0
    for one in relaxations:
        if math.isinf(one.saves):
            yield f"{one.deployment}: {one.what}; then it can be done at all"
            continue
        enough = ", which is enough" if 0 < over <= one.saves else ""
        yield f"{one.deployment}: {one.what}; saves ${one.saves:,.0f} a month{enough}"
    if over > 0:
        # The last resort, and the only one where the smallest machines are dear enough.
        yield f"raise the budget to ${math.ceil(plan.total):,} a month"
    for lacking in plan.plans:
        if not lacking.feasible and lacking.nearest_miss is not None:
            for obstacle in lacking.nearest_miss.obstacles:
                if obstacle.relax:
                    yield f"{lacking.name}: {obstacle.relax}"


def _usd(plan: Plan) -> float:
    chosen = plan.chosen
    return chosen.cost.usd_per_month if chosen and chosen.cost else math.inf
