"""The policies against single models and their mix, and which of them all is to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from pilotage.route.calibration.calibration import Goal, PolicyFit
from pilotage.route.calibration.check import figures
from pilotage.route.calibration.choose import Wanted, choose_usd_weight, usd_weights
from pilotage.route.calibration.compare import compare
from pilotage.route.calibration.simulate import Rules, replay, replay_static
from pilotage.route.calibration.table import Table
from pilotage.spec.routing import PolicyName

_LEVEL: Final = 0.95
_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Who won.

    Attributes:
        policies: λ and figures of all.
        chosen: What to run.
        chosen_tier: For static: with which tier.
        reason: Why, for people.
    """

    policies: dict[PolicyName, PolicyFit]
    chosen: PolicyName
    chosen_tier: str | None
    reason: str


def contest(
    names: Sequence[PolicyName],
    tiers: tuple[str, ...],
    rules: Rules,
    goal: Goal,
    *,
    tuning: Table,
    test: Table,
    before: Table,
) -> Result:
    """Choose every policy's λ, measure it, and choose among those that win.

    Args:
        names: The policies that the data lets be replayed.
        tiers: Names of the tables' columns.
        rules: What the policies share.
        goal: What for.
        tuning: Rows to choose on.
        test: Rows to measure on.
        before: All rows that are not tested on.
    """
    # A budget alone asks for the best that it buys; a goal of quality for the cheapest way there.
    budgeted = goal.usd is not None and not goal.quality_given
    wanted = Wanted(
        quality=2.0 if budgeted else goal.quality,
        usd=float("inf") if goal.usd is None else float(goal.usd),
    )
    candidates = usd_weights(float(tuning.expected_usd.mean(axis=0).max()))
    policies: dict[PolicyName, PolicyFit] = {}
    points: dict[PolicyName, tuple[float, float]] = {}
    for name in names:
        weight = choose_usd_weight(partial(replay, name, tuning, rules), candidates, wanted)
        points[name] = replay(name, tuning, rules, weight).point
        got = replay(name, test, rules, weight)
        policies[name] = PolicyFit(
            usd_weight=weight,
            comparison=compare(
                tiers,
                test.quality,
                test.usd,
                (got.quality, got.usd, got.generations),
                # Several policies are tried: each has a share of the error.
                confidence=1.0 - (1.0 - _LEVEL) / len(names),
                seed=_SEED,
            ),
        )
    winners = [name for name in names if policies[name].comparison.beats]
    if winners:
        chosen = winners[wanted.best([points[name] for name in winners])]
        reason = f"it beats the linear mix: {figures(policies[chosen])}"
        return Result(policies=policies, chosen=chosen, chosen_tier=None, reason=reason)
    singles = [replay_static(before, place).point for place in range(len(tiers))]
    nearest = max(names, key=lambda name: policies[name].comparison.over_mix.value)
    return Result(
        policies=policies,
        chosen="static",
        chosen_tier=tiers[wanted.best(singles)],
        reason="no policy beats single models and their linear mix on this data. The nearest is "
        f"{nearest}: {figures(policies[nearest])}",
    )
