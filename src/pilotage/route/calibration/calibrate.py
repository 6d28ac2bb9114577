"""Fit, certify, choose and measure: from the user's rows to a `Calibration`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np

from pilotage.errors import UsageError
from pilotage.route.calibration.bound import Threshold, certified_threshold
from pilotage.route.calibration.calibration import (
    ACCEPT_INPUTS,
    AFTER_INPUTS,
    SCHEMA,
    Calibration,
    DataNote,
    Goal,
    Price,
    Setup,
)
from pilotage.route.calibration.check import rules_digest
from pilotage.route.calibration.comparison import Single
from pilotage.route.calibration.contest import contest
from pilotage.route.calibration.logistic import Logistic, fit_logistic
from pilotage.route.calibration.reading import UserData
from pilotage.route.calibration.rows import Part, Row
from pilotage.route.calibration.signals import Signals
from pilotage.route.calibration.simulate import Rules, logits, probabilities
from pilotage.route.calibration.table import (
    Array,
    Places,
    Table,
    costs,
    expected_costs,
    judging_costs,
    usages,
)
from pilotage.route.estimators.classifier import fit_held_out
from pilotage.route.estimators.rules import RulesEstimator, Traits
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import PolicyName, RoutingSpec

_BEFORE: Final = (Part.FIT, Part.TUNE, Part.BOUND)

LEAST_ROWS: Final = 100
_LEAST_PART: Final = 8
_ENOUGH: Final = 0.95
"""Of the best single model's quality: the goal of who states none (RouteLLM's convention)."""

_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants of a calibration.

    Attributes:
        quality: Mean quality, 0 to 1. If None, as much as the budget buys; 95 % of the best single
            model's if there is no budget either.
        usd: Most US dollars a request, on average.
        confidence: Of the thresholds, 0 to 1: 1 - δ.
        completion_tokens: Assumed of answers of which the data has neither tokens nor text.
    """

    quality: float | None = None
    usd: Decimal | None = None
    confidence: float = 0.9
    completion_tokens: int = 256


def calibrate(
    data: UserData,
    routing: RoutingSpec,
    prices: Mapping[str, TierPrice],
    wish: Wish | None = None,
    *,
    step: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Fit and choose on a part of the rows, and measure on the rest.

    Args:
        data: The user's rows; see `Part` for what becomes of them.
        routing: Tiers, and how estimator and cascades are set up.
        prices: Of every tier.
        wish: Quality, budget.
        step: Told what is being done.

    Raises:
        UsageError: Too few rows; scikit-learn is missing.
    """
    wish = wish or Wish()
    tiers = routing.tier_names
    parts = _parts(data.rows)
    if _held_out_do(data.rows):
        # Classifier and scorers come with what they say of rows that were held out when they were
        # fitted: what they say can be weighed, and λ chosen, on the rows that they are fitted on.
        # Without answers there is no threshold to certify either.
        more = (Part.TUNE,) if any(row.answers for row in data.rows) else (Part.TUNE, Part.BOUND)
        parts[Part.FIT] = np.concatenate([parts[one] for one in (Part.FIT, *more)])
        parts |= dict.fromkeys(more, parts[Part.FIT][:0])
    tune = parts[Part.TUNE] if len(parts[Part.TUNE]) else parts[Part.FIT]
    step("costs")
    used = usages(data.rows, tiers, wish.completion_tokens)
    chosen_fit = parts[Part.FIT]
    completion = [
        float(np.mean([used[row][tier].completion_tokens for row in chosen_fit]))
        for tier in range(len(tiers))
    ]
    step("estimator")
    classifier, prior = _priors(data.rows, chosen_fit, routing)
    quality = np.array([[row.scores[tier] for tier in tiers] for row in data.rows])
    step("verifiers")
    signals = Signals(data.rows, chosen_fit, tiers, quality)
    judged = [signals.judge.get(tier) is not None for tier in tiers]
    judges = [routing.verifier.judge_tier or above for above in (*tiers[1:], tiers[-1])]
    said = signals.log_odds(data.rows)
    table = Table(
        quality=quality,
        usd=costs(used, tiers, prices),
        expected_usd=expected_costs(used, completion, tiers, prices),
        judge_usd=judging_costs(used, tiers, judges, prices) * np.array(judged, float),
        prior=prior,
        sure=said.sure,
        scored=said.scored,
        judged=said.judged,
    )
    accept, acceptance = _accept(tune, tiers, table, signals)
    later = _later(tune, table, acceptance, tiers)
    before = np.concatenate([parts[one] for one in _BEFORE])
    goal = _goal(wish, table, before)
    step("thresholds")
    thresholds = {
        tier: certified_threshold(
            (acceptance[tier][tune], quality[tune, i]),
            (acceptance[tier][parts[Part.BOUND]], quality[parts[Part.BOUND], i]),
            target=goal.quality,
            delta=1.0 - wish.confidence,
        )
        for i, tier in enumerate(tiers[:-1])
        if tier in accept
    }
    step("policies")
    names: list[PolicyName] = ["router"]
    if signals.found and routing.max_generations > 1:
        names += ["cascade", "cascade_routing"]
    test = table.of(parts[Part.TEST])
    result = contest(
        names,
        tiers,
        _rules(tiers, routing, thresholds, accept, later),
        goal,
        tuning=table.of(np.concatenate([tune, parts[Part.BOUND]])),
        test=test,
        before=table.of(before),
    )
    estimated = sum(one.estimated for row in used for one in row)
    return Calibration(
        schema=SCHEMA,
        date=datetime.now(UTC).replace(microsecond=0).isoformat(),
        data=DataNote(
            sha256=data.sha256,
            rows=len(data.rows),
            parts={part.value: len(parts[part]) for part in Part},
            estimated_tokens=estimated / quality.size,
        ),
        tiers=tiers,
        prices={tier: Price.of(prices[tier]) for tier in tiers},
        goal=goal,
        setup=Setup(
            estimator="rules" if classifier is None else "classifier",
            rules=rules_digest(routing.estimator.rules) if classifier is None else None,
            signals=signals.found,
            judge_tier=routing.verifier.judge_tier,
            thresholds=dict(routing.verifier.thresholds),
            max_generations=routing.max_generations,
        ),
        completion_tokens=dict(zip(tiers, completion, strict=True)),
        classifier=classifier,
        logprobs=signals.logprobs,
        judge=signals.judge,
        scorer={tier: one.as_dict() for tier, one in signals.scorer.items()},
        accept=accept,
        later=later,
        thresholds=thresholds,
        singles={
            tier: Single(quality=float(quality), usd=float(usd))
            for tier, quality, usd in zip(
                tiers, test.quality.mean(axis=0), test.usd.mean(axis=0), strict=True
            )
        },
        policies=result.policies,
        chosen=result.chosen,
        chosen_tier=result.chosen_tier,
        reason=result.reason,
    )


def _parts(rows: Sequence[Row]) -> dict[Part, Places]:
    if len(rows) < LEAST_ROWS:
        raise UsageError(
            f"{len(rows)} rows are too few to fit, certify and test on",
            hint=f"At least {LEAST_ROWS}; some thousands make narrow intervals",
        )
    of = [row.part for row in rows]
    counts = Counter(of)
    for part in Part:
        if counts[part] < _LEAST_PART:
            raise UsageError(
                f"{counts[part]} rows are left for {part.value}: the prompts are too alike",
                hint="Rows of the same prompt stay together; bring more prompts",
            )
    return {part: np.array([place for place, one in enumerate(of) if one is part]) for part in Part}


def _held_out_do(rows: Sequence[Row]) -> bool:
    """Whether the rows that models are fitted on serve to weigh what the models say, too.

    Models of log-probabilities and of a judge's scores know nothing of held-out rows; and to hold
    out an answer is no use to a scorer that has read another one to the same prompt.
    """
    if any(row.logprobs or row.judge for row in rows):
        return False
    return len({row.prompt for row in rows}) == len(rows) or not any(row.answers for row in rows)


def _priors(
    rows: Sequence[Row], fit: Places, routing: RoutingSpec
) -> tuple[dict[str, Any] | None, Array]:
    """The classifier as data, None for rules; and what is expected of every row's answers."""
    tiers = routing.tier_names
    if routing.estimator.kind == "rules":
        rules = RulesEstimator(tiers, routing.estimator.rules)
        estimates = [
            rules.judge(
                Traits(
                    text=row.prompt, chars=row.prompt_chars, images=row.images > 0, tools=row.tools
                )
            ).quality
            for row in rows
        ]
        return None, np.array([[one[tier] for tier in tiers] for one in estimates])
    scores = np.array([[rows[place].scores[tier] for tier in tiers] for place in fit])
    prompts = [rows[place].prompt for place in fit]
    classifier, held_out = fit_held_out(prompts, scores, seed=_SEED)
    rest = np.setdiff1d(np.arange(len(rows)), fit)
    expected = np.empty((len(rows), len(tiers)))
    expected[fit] = held_out
    expected[rest] = classifier.predict([rows[place].prompt for place in rest])
    return classifier.as_dict(), np.clip(expected, 0.0, 1.0)


def _accept(
    tune: Places, tiers: tuple[str, ...], table: Table, signals: Signals
) -> tuple[dict[str, Logistic], dict[str, Array]]:
    """Models of acceptance, and what they say of every row's first answer, by tier."""
    models, found = {}, {}
    for place, tier in enumerate(tiers):
        if tier not in signals.tiers:
            continue
        after = (one[:, place] for one in (table.sure, table.scored, table.judged))
        inputs = np.column_stack([logits(table.prior[:, place]), *after])
        models[tier] = fit_logistic(
            ACCEPT_INPUTS, inputs[tune], table.quality[tune, place], rising=True
        )
        found[tier] = probabilities(models[tier], inputs)
    return models, found


def _later(
    tune: Places, table: Table, acceptance: Mapping[str, Array], tiers: tuple[str, ...]
) -> dict[str, dict[str, Logistic]]:
    """What other tiers can be expected to do once one has answered, for tiers with signals."""
    prior = logits(table.prior[tune])
    return {
        tier: {
            other: fit_logistic(
                AFTER_INPUTS,
                np.column_stack([prior[:, there], logits(seen[tune])]),
                table.quality[tune, there],
                rising=True,
            )
            for there, other in enumerate(tiers)
            if other != tier
        }
        for tier, seen in acceptance.items()
    }


def _goal(wish: Wish, table: Table, seen: Places) -> Goal:
    best = float(table.quality[seen].mean(axis=0).max())
    return Goal(
        quality=_ENOUGH * best if wish.quality is None else wish.quality,
        quality_given=wish.quality is not None,
        usd=wish.usd,
        confidence=wish.confidence,
    )


def _rules(
    tiers: tuple[str, ...],
    routing: RoutingSpec,
    thresholds: Mapping[str, Threshold],
    accept: Mapping[str, Logistic],
    later: Mapping[str, Mapping[str, Logistic]],
) -> Rules:
    place = {tier: index for index, tier in enumerate(tiers)}
    certified = {tier: one.value for tier, one in thresholds.items()} | routing.verifier.thresholds
    return Rules(
        thresholds=[certified.get(tier) for tier in tiers],
        accept={place[tier]: model for tier, model in accept.items()},
        after={
            place[tier]: {place[other]: model for other, model in models.items()}
            for tier, models in later.items()
        },
        generations=routing.max_generations,
    )
