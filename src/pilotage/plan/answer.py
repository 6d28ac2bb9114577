"""From judged options to the plan: what is chosen, and what else would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from pilotage import __version__
from pilotage.plan.candidates import precisions
from pilotage.plan.found import Judged
from pilotage.plan.memory import weights_of
from pilotage.plan.notes import notes_on
from pilotage.plan.offers import Offers
from pilotage.plan.option import Option
from pilotage.plan.question import Question
from pilotage.plan.report.wording import label
from pilotage.plan.result import (
    Curve,
    ModelFacts,
    ParetoPoint,
    Plan,
    StatedError,
    worst_shortfall,
)
from pilotage.plan.stated_errors import stated_errors
from pilotage.plan.strategies import Circumstances, judge_tree, walk_tree

_RUNNERS_UP: Final = 8


def plan_of(
    offers: Offers, judged: Sequence[Judged], chosen: Judged | None, misfits: Sequence[Option]
) -> Plan:
    """The answer to a question.

    Args:
        offers: Of the question.
        judged: Every option that came as far as being priced, in the order of preference.
        chosen: The one that is taken; None where nothing does.
        misfits: Options that needed no simulation to be left out.
    """
    question = offers.question
    option = chosen.option if chosen else None
    feasible = [one.option for one in judged if one.option.feasible]
    infeasible = [one.option for one in judged if not one.option.feasible]
    infeasible += misfits
    infeasible.sort(key=worst_shortfall)
    circumstances = Circumstances(
        model=question.model,
        custom_weights=question.custom_weights,
        weights_bytes=round(weights_of(question.anatomy, precisions(question)[0]).total),
        bedrock=question.assumptions.bedrock,
    )
    path = walk_tree(question.demand, question.anatomy, circumstances)
    leaf = next(
        (one.option for one in judged if one.option.configuration.strategy == path.strategy), None
    )
    return Plan(
        name=question.name,
        created_at=datetime.now(UTC),
        pilotage=__version__,
        model=ModelFacts.of(question.anatomy, question.max_model_len),
        demand=question.demand,
        chosen=option,
        runners_up=tuple(one for one in feasible if one is not option)[:_RUNNERS_UP],
        infeasible=tuple(infeasible),
        tree=judge_tree(path, option, leaf),
        pareto=tuple(_pareto(judged, option)),
        curves=_curves(chosen),
        errors=_errors(question, chosen),
        notes=tuple(notes_on(question, chosen, circumstances)),
        region=offers.prices.region,
    )


def _pareto(judged: Sequence[Judged], chosen: Option | None) -> Iterable[ParetoPoint]:
    for one in judged:
        option = one.option
        if option.cost is None or option.estimate is None or option.estimate.e2e is None:
            continue
        yield ParetoPoint(
            label=label(option.configuration),
            strategy=option.configuration.strategy,
            usd_per_month=option.cost.usd_per_month,
            e2e_p99_s=option.estimate.e2e.p99,
            feasible=option.feasible,
            chosen=option is chosen,
        )


def _errors(question: Question, chosen: Judged | None) -> tuple[StatedError, ...]:
    source = chosen.sized.rated.model.efficiency.source if chosen and chosen.sized else ""
    return stated_errors(
        chosen.option if chosen else None,
        measured=source.startswith("fitted"),
        mixture=any(group.feed_forward.experts for group in question.anatomy.layers),
    )


def _curves(chosen: Judged | None) -> tuple[Curve, ...]:
    if chosen is None or chosen.sized is None:
        return ()
    run = chosen.sized.simulation
    return tuple(
        Curve(metric=metric, points=points)
        for metric in ("ttft", "tpot", "e2e")
        if (points := run.cdf(metric))
    )
