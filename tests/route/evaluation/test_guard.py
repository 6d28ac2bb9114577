"""Settings are kept where they were worth it beyond chance, and nowhere else."""

from __future__ import annotations

import numpy as np

from pilotage.route.evaluation.guard import keep_settings
from pilotage.route.evaluation.sweep import Outcomes


def _outcomes(rows: int, seed: int) -> Outcomes:
    drawn = np.random.default_rng(seed)
    scores = (drawn.random((rows, 2)) < (0.5, 0.8)).astype(float)
    return Outcomes(costs=np.tile([1.0, 10.0], (rows, 1)), scores=scores)


def test_a_setting_that_gains_nothing_leaves_the_single_models() -> None:
    outcomes = _outcomes(2000, 0)
    coins = np.random.default_rng(1).random((5, 2000)) < np.linspace(0.1, 0.9, 5)[:, None]
    costs = np.where(coins, 10.0, 1.0)
    scores = np.where(coins, outcomes.scores[:, 1], outcomes.scores[:, 0])
    kept = keep_settings(costs, scores, outcomes)
    assert len(kept.settings) <= 2  # some are above half a standard error by luck
    assert {0, 1} == set(kept.singles.tolist())


def test_one_that_knows_where_the_big_model_helps_is_kept() -> None:
    outcomes = _outcomes(2000, 0)
    knows = outcomes.scores[:, 0] < outcomes.scores[:, 1]
    costs = np.where(knows, 10.0, 1.0)[None]
    scores = outcomes.scores.max(axis=1)[None]
    kept = keep_settings(costs, scores, outcomes)
    assert kept.settings.tolist() == [0]
    assert kept.singles.tolist() == [0]  # the big one alone is beaten, and dearer
