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
from pilotage.route.calibration.contest import contest
from pilotage.route.calibration.logistic import Logistic, fit_logistic
from pilotage.route.calibration.logprobs import LogprobModel, fit_logprobs
from pilotage.route.calibration.reading import UserData
from pilotage.route.calibration.rows import Part, Row
from pilotage.route.calibration.scale import Scale, fit_scale
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
from pilotage.route.estimators.classifier import fit_classifier
from pilotage.route.estimators.rules import RulesEstimator, Traits
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import PolicyName, RoutingSpec

LEAST_ROWS: Final = 100
_LEAST_PART: Final = 8
_LEAST_SIGNAL: Final = 20
"""Answers with log-probabilities or a judge's score that a model of them needs, in the fit part."""

_ENOUGH: Final = 0.95
"""Of the best single model's quality: the goal of who states none (RouteLLM's convention)."""

_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants of a calibration.

    Attributes:
        quality: Mean quality, 0 to 1; 95 % of the best single model's if None, and no budget is
            set, and as good as the budget allows if one is.
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
    if not any(row.logprobs or row.judge for row in data.rows):
        # Without signals there is no acceptance, and no threshold to certify.
        parts[Part.FIT] = np.concatenate([parts[Part.FIT], parts[Part.BOUND]])
        parts[Part.BOUND] = parts[Part.BOUND][:0]
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
    signals = _Signals(data.rows, chosen_fit, tiers, quality)
    judged = [signals.judge.get(tier) is not None for tier in tiers]
    judges = [routing.verifier.judge_tier or above for above in (*tiers[1:], tiers[-1])]
    table = Table(
        quality=quality,
        usd=costs(used, tiers, prices),
        expected_usd=expected_costs(used, completion, tiers, prices),
        judge_usd=judging_costs(used, tiers, judges, prices) * np.array(judged, float),
        prior=prior,
        acceptance=prior.copy(),
    )
    accept = _accept(data.rows, parts[Part.TUNE], tiers, table, signals)
    later = _later(parts[Part.TUNE], table, signals, tiers)
    before = np.concatenate([parts[one] for one in Part if one is not Part.TEST])
    goal = _goal(wish, table, before)
    step("thresholds")
    thresholds = {
        tier: certified_threshold(
            (table.acceptance[parts[Part.TUNE], i], quality[parts[Part.TUNE], i]),
            (table.acceptance[parts[Part.BOUND], i], quality[parts[Part.BOUND], i]),
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
    result = contest(
        names,
        tiers,
        _rules(tiers, routing, thresholds, later),
        goal,
        tuning=table.of(np.concatenate([parts[Part.TUNE], parts[Part.BOUND]])),
        test=table.of(parts[Part.TEST]),
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
        accept=accept,
        later=later,
        thresholds=thresholds,
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
    classifier = fit_classifier([rows[place].prompt for place in fit], scores, seed=_SEED)
    expected = classifier.predict([row.prompt for row in rows])
    return classifier.as_dict(), np.clip(np.asarray(expected, float), 0.0, 1.0)


class _Signals:
    """What is known of answers after generation, fitted on the fit part.

    Attributes:
        logprobs: By tier.
        judge: By tier.
        found: Names of the verifiers that have something to say.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        fit: Places,
        tiers: tuple[str, ...],
        quality: Array,
    ) -> None:
        self.logprobs: dict[str, LogprobModel] = {}
        self.judge: dict[str, Scale] = {}
        # The last tier's answers are always taken: nothing needs to be known of them.
        for place, tier in enumerate(tiers[:-1]):
            with_logprobs = [row for row in fit if rows[row].logprobs.get(tier)]
            if len(with_logprobs) >= _LEAST_SIGNAL:
                answers = [
                    (rows[row].logprobs[tier], rows[row].usage(tier, 0).completion_tokens)
                    for row in with_logprobs
                ]
                self.logprobs[tier] = fit_logprobs(answers, quality[with_logprobs, place])
            with_judge = [row for row in fit if tier in rows[row].judge]
            if len(with_judge) >= _LEAST_SIGNAL:
                scores = np.array([rows[row].judge[tier] for row in with_judge])
                self.judge[tier] = fit_scale(scores, quality[with_judge, place])
        fitted = {"logprobs": self.logprobs, "judge": self.judge}
        self.found = tuple(name for name, models in fitted.items() if models)

    def of(self, row: Row, tier: str) -> tuple[float, float]:
        """What log-probabilities and judge say of an answer; NaN for nothing."""
        model, scale = self.logprobs.get(tier), self.judge.get(tier)
        told = row.logprobs.get(tier)
        sure = np.nan
        if model is not None and told:
            sure = model.score(told, row.usage(tier, 0).completion_tokens)
        judged = scale.apply(row.judge[tier]) if scale and tier in row.judge else np.nan
        return sure, judged


def _accept(
    rows: Sequence[Row],
    tune: Places,
    tiers: tuple[str, ...],
    table: Table,
    signals: _Signals,
) -> dict[str, Logistic]:
    """Models of acceptance, and their outputs in the table."""
    found = {}
    for place, tier in enumerate(tiers[:-1]):
        if tier not in signals.logprobs and tier not in signals.judge:
            continue
        said = np.array([signals.of(row, tier) for row in rows])
        inputs = logits(np.column_stack([table.prior[:, place], said]))
        found[tier] = fit_logistic(ACCEPT_INPUTS, inputs[tune], table.quality[tune, place])
        table.acceptance[:, place] = probabilities(found[tier], inputs)
    return found


def _later(
    tune: Places,
    table: Table,
    signals: _Signals,
    tiers: tuple[str, ...],
) -> dict[str, dict[str, Logistic]]:
    """What other tiers can be expected to do once one has answered, for tiers with signals."""
    prior, seen = logits(table.prior[tune]), logits(table.acceptance[tune])
    return {
        tier: {
            other: fit_logistic(
                AFTER_INPUTS,
                np.column_stack([prior[:, there], seen[:, here]]),
                table.quality[tune, there],
            )
            for there, other in enumerate(tiers)
            if there != here
        }
        for here, tier in enumerate(tiers)
        if tier in signals.logprobs or tier in signals.judge
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
    later: Mapping[str, Mapping[str, Logistic]],
) -> Rules:
    place = {tier: index for index, tier in enumerate(tiers)}
    certified = {tier: one.value for tier, one in thresholds.items()} | routing.verifier.thresholds
    return Rules(
        thresholds=[certified.get(tier) for tier in tiers],
        after={
            place[tier]: {place[other]: model for other, model in models.items()}
            for tier, models in later.items()
        },
        generations=routing.max_generations,
    )
