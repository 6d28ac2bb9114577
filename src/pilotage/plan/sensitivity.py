"""What becomes of a plan when the load or the lengths are others than the spec says.

Quick, because the search has done the work: what a layout was seen to carry scales with the load,
and with lengths as its quick estimate does. Only the plan itself, left as it is, is simulated.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal

from pilotage.errors import UsageError
from pilotage.plan.capacity import capacity_of
from pilotage.plan.demand import Lengths
from pilotage.plan.found import Found, Judged
from pilotage.plan.offers import Offers
from pilotage.plan.option import Option
from pilotage.plan.question import Question, check
from pilotage.plan.report.wording import label
from pilotage.plan.result import SensitivityRow
from pilotage.plan.sizing import Sized, Sizer, broken_promises

LOADS: Final = (0.5, 1.0, 2.0, 4.0)
LENGTHS: Final = (0.5, 1.0, 1.5, 2.0)
"""Factors that are tried."""


def sensitivity(
    found: Found,
    *,
    loads: tuple[float, ...] = LOADS,
    lengths: tuple[float, ...] = LENGTHS,
) -> tuple[SensitivityRow, ...]:
    """The plan at other loads and lengths; empty where nothing was chosen.

    The budget is left out of it: that a doubled load costs more is what it is to show.
    """
    if found.chosen is None or found.chosen.sized is None:
        return ()
    question = found.offers.question
    rows = [_row(found, "load", factor, _loaded(question, factor)) for factor in loads]
    for factor in lengths:
        changed = _lengthened(question, factor)
        try:
            check(changed)
        except UsageError as error:
            rows.append(_refused(factor, error.message))
            continue
        rows.append(_row(found, "length", factor, changed))
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Then:
    """The cheapest option under a changed workload."""

    option: Option
    sized: Sized


def _row(
    found: Found, of: Literal["load", "length"], factor: float, changed: Question
) -> SensitivityRow:
    chosen = found.chosen
    assert chosen is not None
    assert chosen.sized is not None
    if factor == 1.0:
        run = chosen.sized.simulation
        cost = chosen.option.cost
        return SensitivityRow(
            of=of,
            factor=factor,
            usd_per_month=cost.usd_per_month if cost else None,
            ttft_p99_s=run.ttft.p99 if run.ttft else None,
            e2e_p99_s=run.e2e.p99 if run.e2e else None,
            label=label(chosen.option.configuration),
            feasible=True,
            held_e2e_p99_s=run.e2e.p99 if run.e2e else None,
            held_feasible=True,
        )
    then = _cheapest(found, changed, of, factor)
    held = Sizer(changed).trial(chosen.sized.rated, chosen.sized.copies)
    overloaded = any(one.limit == "throughput" for one in broken_promises(changed.demand, held))
    kept = not broken_promises(changed.demand, held)
    return SensitivityRow(
        of=of,
        factor=factor,
        usd_per_month=then.option.cost.usd_per_month if then and then.option.cost else None,
        ttft_p99_s=_p99(then, "ttft"),
        e2e_p99_s=_p99(then, "e2e"),
        label=label(then.option.configuration) if then else "nothing that was simulated does",
        feasible=then is not None,
        held_e2e_p99_s=None if overloaded or held.e2e is None else held.e2e.p99,
        held_feasible=kept,
    )


def _p99(then: _Then | None, metric: Literal["ttft", "e2e"]) -> float | None:
    if then is None:
        return None
    found = getattr(then.sized.simulation, metric)
    return found.p99 if found is not None else None


def _cheapest(
    found: Found, changed: Question, of: Literal["load", "length"], factor: float
) -> _Then | None:
    unbounded = dataclasses.replace(
        changed,
        demand=dataclasses.replace(changed.demand, usd_per_month=None, usd_per_request=None),
    )
    offers = Offers(unbounded, found.offers.prices)
    best: _Then | None = None
    for one in _with_machines(found):
        assert one.sized is not None
        assert one.machine is not None
        if one.sized.obstacles:
            continue
        copies = _copies(found.offers.question, changed, one.sized, of, factor)
        if copies is None:
            continue
        sized = dataclasses.replace(
            one.sized, copies=copies, capacity=one.sized.capacity * copies / one.sized.copies
        )
        option = offers.sized(sized, one.machine, one.option.configuration.strategy)
        if not option.feasible or option.cost is None:
            continue
        if best is None or _usd(option) < _usd(best.option):
            best = _Then(option=option, sized=sized)
    return best


def _with_machines(found: Found) -> list[Judged]:
    return [one for one in found.judged if one.sized is not None and one.machine is not None]


def _copies(
    base: Question, changed: Question, sized: Sized, of: Literal["load", "length"], factor: float
) -> int | None:
    """Copies under the changed workload; None when a lone request would break a promise."""
    each = max(sized.capacity, 1e-9) / sized.copies
    if of == "load":
        return max(1, math.ceil(_peak(base) * factor / each))
    then = capacity_of(changed, sized.rated.layout, sized.rated.model)
    if then.requests_per_s <= 0:
        return None
    return max(
        1,
        math.ceil(_peak(base) / (each * then.requests_per_s / sized.rated.capacity.requests_per_s)),
    )


def _peak(question: Question) -> float:
    demand = question.demand
    return demand.rate if demand.shape == "batch" else demand.peak


def _loaded(question: Question, factor: float) -> Question:
    demand = question.demand
    return dataclasses.replace(
        question,
        demand=dataclasses.replace(demand, rate=demand.rate * factor, peak=demand.peak * factor),
    )


def _lengthened(question: Question, factor: float) -> Question:
    demand = question.demand

    def longer(lengths: Lengths) -> Lengths:
        return Lengths(p50=max(1, lengths.p50 * factor), p99=max(1, lengths.p99 * factor))

    recording = question.recording
    return dataclasses.replace(
        question,
        recording=recording.lengthened(factor) if recording else None,
        demand=dataclasses.replace(
            demand, prompt=longer(demand.prompt), completion=longer(demand.completion)
        ),
    )


def _refused(factor: float, why: str) -> SensitivityRow:
    return SensitivityRow(
        of="length",
        factor=factor,
        usd_per_month=None,
        ttft_p99_s=None,
        e2e_p99_s=None,
        label=why,
        feasible=False,
        held_e2e_p99_s=None,
        held_feasible=False,
    )


def _usd(option: Option) -> float:
    return option.cost.usd_per_month if option.cost else math.inf
