"""What a policy has to beat, and the best there could be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pilotage.route.estimators.space import missing_scikit_learn
from pilotage.route.evaluation.curve import upper_hull
from pilotage.route.evaluation.matrix import Matrix
from pilotage.route.evaluation.objective import LAMBDAS, choose
from pilotage.route.evaluation.sweep import Outcomes, Sweep, anchored, sweep_of

Values = NDArray[np.float64]

NEIGHBOURS = 20


def single(model: int, name: str, outcomes: Outcomes) -> Sweep:
    """One model for everything, or mixed at random with the cheapest one."""
    return sweep_of(name, "single", outcomes, _always([model], outcomes))


def linear_mix(outcomes: Outcomes) -> Sweep:
    """Single models mixed at random, the best mix of each cost known from these rows."""
    models = np.arange(outcomes.costs.shape[1])
    return sweep_of("linear mix", "reference", outcomes, _always(models, outcomes))


def static(fitted: Outcomes, outcomes: Outcomes) -> Sweep:
    """The best that can be done without a look at the prompt: the mix chosen on the fit file."""
    hull = upper_hull(fitted.costs.mean(axis=0), fitted.scores.mean(axis=0))
    choices = _always(hull.place, outcomes)
    return sweep_of("static", "baseline", outcomes, choices, hindsight=False)


def nearest_neighbours(
    fit: Matrix, test: Matrix, expected_costs: Values, outcomes: Outcomes, *, extra: float
) -> Sweep:
    """The plain router: mean scores of the nearest prompts by tf-idf of their words.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
        from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415
    except ImportError as error:
        raise missing_scikit_learn() from error

    words = TfidfVectorizer()
    known = words.fit_transform(fit.prompts)
    count = min(NEIGHBOURS, len(fit))
    search = NearestNeighbors(n_neighbors=count, metric="cosine").fit(known)
    near = search.kneighbors(words.transform(test.prompts), return_distance=False)
    expected = fit.scores[near].mean(axis=1)
    unit = float(outcomes.costs.mean(axis=0).max())
    choices = choose(expected, expected_costs, unit, LAMBDAS)
    return sweep_of("nearest neighbours", "baseline", outcomes, choices, extra=extra)


def judge_cascade(opinions: Values, judging: Values, outcomes: Outcomes) -> Sweep:
    """The naive cascade: the cheapest model drafts, a judge reads every draft, the best answers.

    Args:
        opinions: The judge's score of each draft.
        judging: US dollars of each judgement.
        outcomes: Of the same rows.
    """
    draft, best = outcomes.cheapest, outcomes.best
    thresholds = np.unique(np.quantile(opinions, np.linspace(0, 1, 41)))
    thresholds = np.append(thresholds, np.inf)
    up = opinions[None, :] < thresholds[:, None]
    dearer = np.where(up, outcomes.costs[:, best], 0.0)
    sweep = Sweep(
        name="judge cascade",
        kind="baseline",
        costs=outcomes.costs[:, draft] + judging + dearer,
        scores=np.where(up, outcomes.scores[:, best], outcomes.scores[:, draft]),
        big=up.astype(np.float64) if draft != best else np.ones(up.shape),
        hindsight=True,
    )
    return anchored(sweep, outcomes)


def oracle(outcomes: Outcomes) -> Sweep:
    """The best choice by row for each λ, with every score and cost known."""
    unit = float(outcomes.costs.mean(axis=0).max())
    lambdas = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 97)])
    # Of several models as good, a λ of almost nothing takes the cheapest.
    lambdas[0] = 1e-9
    choices = choose(outcomes.scores, outcomes.costs, unit, lambdas)
    return sweep_of("oracle", "oracle", outcomes, choices)


def _always(models: NDArray[np.int64] | list[int], outcomes: Outcomes) -> NDArray[np.int64]:
    wanted = np.asarray(models, np.int64)
    return np.tile(wanted[:, None], (1, len(outcomes.costs)))
