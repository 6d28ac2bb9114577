"""All ways of choosing a model, fitted on one file and measured on another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.answer_scorer import fit_answer_scorer
from pilotage.route.estimators.classifier import fit_held_out
from pilotage.route.evaluation import baselines, policies
from pilotage.route.evaluation.costs import (
    actual_costs,
    answer_tokens,
    core_cost,
    expected_costs,
    judge_costs,
)
from pilotage.route.evaluation.matrix import Matrix, shared_models
from pilotage.route.evaluation.measure import Measured, measure
from pilotage.route.evaluation.model_prices import ModelPrice
from pilotage.route.evaluation.policies import Side
from pilotage.route.evaluation.sweep import Outcomes, Sweep

CLASSIFIER_S: Final = 1e-3
"""Seconds on a core that the classifier is charged with a prompt: its bound, not its mean."""

SCORER_S: Final = 2e-3
"""Likewise for reading a draft."""

FEWEST: Final = 20
"""Rows that a file must have left."""

_DRAWS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of it.

    Attributes:
        fit: The file fitted on.
        test: The file measured on.
        fit_rows: Rows used of the one.
        test_rows: Rows used of the other.
        seen: Rows of the test file left out because their prompts are in the fit file.
        models: The models that both files know.
        prices: Their prices.
        best: The big model: the best single one on the test file.
        classifier_s: Measured processor seconds of the classifier a prompt, on this machine.
        measured: Figures, in the order of tables.
        notes: What a reader must know of how the figures came about.
    """

    fit: str
    test: str
    fit_rows: int
    test_rows: int
    seen: int
    models: tuple[str, ...]
    prices: tuple[ModelPrice, ...]
    best: str
    classifier_s: float
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]

    @property
    def winner(self) -> Measured:
        """The best of our policies, by area."""
        ours = [one for one in self.measured if one.kind == "policy"]
        return max(ours, key=lambda one: one.area.value)


def comparable(fit: Matrix, test: Matrix) -> tuple[Matrix, Matrix, int]:
    """The two files' rows and models that can be compared, and how many test rows were seen.

    Raises:
        UsageError: Fewer than two models are in both, or too few rows are left.
    """
    models = shared_models(fit, test)
    fit, test = fit.only(models), test.only(models).complete()
    unseen = test.without(fit)
    seen = len(test) - len(unseen)
    fit = fit.complete()
    for left, what in ((fit, "to fit to"), (unseen, "that the fit file does not hold too")):
        if len(left) < FEWEST:
            raise UsageError(
                f"there are {len(left)} complete rows {what}, and at least {FEWEST} are needed",
                where=left.source,
                hint="Split one file in two parts to evaluate on rows that were not fitted to"
                if seen
                else None,
            )
    return fit, unseen, seen


def evaluate_matrices(
    fit: Matrix,
    test: Matrix,
    prices: Sequence[ModelPrice],
    *,
    seen: int = 0,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Evaluation:
    """Fit on one matrix, measure on another; both of the same models and complete.

    Args:
        fit: As `comparable` makes it.
        test: Likewise.
        prices: A model each.
        seen: Rows that were left out of the test, for the report.
        seed: Of all that is drawn at random.
        draws: Of the bootstrap.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    classifier, held_out = fit_held_out(fit.prompts, fit.scores, seed=seed)
    began = time.process_time()
    said = classifier.predict(test.prompts)
    took = (time.process_time() - began) / len(test)
    extra, reading = core_cost(CLASSIFIER_S), core_cost(SCORER_S)
    fitted = Outcomes(costs=actual_costs(fit, prices), scores=fit.scores)
    outcomes = Outcomes(costs=actual_costs(test, prices), scores=test.scores)
    before = expected_costs(test, prices, fit)
    after_fit, after_test = _after_drafts(fit, test, fitted, seed)
    fit_side = Side(
        outcomes=fitted, costs=expected_costs(fit, prices, fit), before=held_out, after=after_fit
    )
    test_side = Side(outcomes=outcomes, costs=before, before=said, after=after_test)
    sweeps: list[Sweep] = [
        *(baselines.single(place, name, outcomes) for place, name in enumerate(test.models)),
        baselines.linear_mix(outcomes),
        baselines.static(fitted, outcomes),
        baselines.nearest_neighbours(fit, test, before, outcomes, extra=extra),
    ]
    draft = outcomes.cheapest
    if draft in after_test:
        tokens = answer_tokens(test)[:, draft]
        judging = judge_costs(test, prices[outcomes.best], tokens)
        sweeps.append(baselines.judge_cascade(after_test[draft][:, draft], judging, outcomes))
    sweeps.append(policies.router(fit_side, test_side, extra=extra))
    sweeps.append(policies.router_by_calls(fit_side, test_side, extra=extra))
    if after_test:
        sweeps.append(policies.cascade_routing(fit_side, test_side, extra=extra, reading=reading))
    sweeps.append(baselines.oracle(outcomes))
    found = measure(sweeps, outcomes, draws=draws, seed=seed)
    return Evaluation(
        fit=fit.source,
        test=test.source,
        fit_rows=len(fit),
        test_rows=len(test),
        seen=seen,
        models=test.models,
        prices=tuple(prices),
        best=test.models[outcomes.best],
        classifier_s=took,
        measured=tuple(found[one.name] for one in sweeps),
        notes=_notes(test, seen, bool(after_test)),
    )


def _after_drafts(
    fit: Matrix, test: Matrix, fitted: Outcomes, seed: int
) -> tuple[dict[int, NDArray[np.float64]], dict[int, NDArray[np.float64]]]:
    """Expected scores once a draft is there, for all but the dearest model."""
    on_fit: dict[int, NDArray[np.float64]] = {}
    on_test: dict[int, NDArray[np.float64]] = {}
    for model, (before, now) in enumerate(zip(fit.answers, test.answers, strict=True)):
        if before is None or now is None or model == fitted.dearest:
            continue
        scorer, held_out = fit_answer_scorer(fit.prompts, before, fit.scores, seed=seed)
        on_fit[model] = held_out
        on_test[model] = scorer.predict(test.prompts, now)
    return on_fit, on_test


def _notes(test: Matrix, seen: int, drafts: bool) -> tuple[str, ...]:
    notes = [
        "Tokens are estimated as characters / 4, alike for all models"
        + (
            "."
            if any(texts is not None for texts in test.answers)
            else "; the file has no answers, so that costs are those of the prompts alone."
        ),
        f"Router and cascade pay for the classifier: {core_cost(CLASSIFIER_S):.1e} USD a prompt.",
        "The curves of singles, linear mix, nearest neighbours, judge cascade and oracle are upper "
        "hulls on the test rows themselves; static, router and cascade routing are run at settings "
        "chosen on the fit file alone.",
    ]
    if drafts:
        notes.append(
            "The judge cascade's judge is a stand-in, as no judge's scores are in the file: the "
            "fitted scorer's opinion at the price of the big model reading prompt and draft."
        )
    if seen:
        notes.append(f"{seen} test rows were left out: their prompts are in the fit file.")
    return tuple(notes)
