"""Policies by hand: what is asked, what it costs, and that nothing is paid for twice."""

from __future__ import annotations

import numpy as np
import pytest

from pilotage.route.evaluation.policies import Side, cascade_routing, router
from pilotage.route.evaluation.sweep import Outcomes


def _side(rows: int, seed: int, *, drafts: bool) -> Side:
    """Half the rows need the big model; the prompt tells nothing, a draft everything."""
    need = np.random.default_rng(seed).permutation(np.arange(rows) % 2 == 0)
    scores = np.stack([~need, np.ones(rows, bool)], axis=1).astype(float)
    costs = np.tile([1.0, 20.0], (rows, 1))
    before = np.tile([0.5, 1.0], (rows, 1))
    return Side(
        outcomes=Outcomes(costs=costs, scores=scores),
        costs=costs,
        before=before,
        after={0: scores} if drafts else {},
    )


def test_a_router_that_knows_nothing_is_the_linear_mix() -> None:
    fit, test = _side(400, 0, drafts=False), _side(400, 1, drafts=False)
    sweep = router(fit, test, extra=0.0)
    means = sweep.costs.mean(axis=1), sweep.scores.mean(axis=1)
    on_line = 0.5 + 0.5 * (means[0] - 1) / 19
    assert means[1] == pytest.approx(on_line)


def test_a_cascade_drafts_and_asks_again_only_where_it_must() -> None:
    fit, test = _side(400, 0, drafts=True), _side(400, 1, drafts=True)
    sweep = cascade_routing(fit, test, extra=0.1, reading=0.2)
    perfect = np.flatnonzero(sweep.scores.mean(axis=1) == 1.0)
    cheapest = perfect[sweep.costs[perfect].mean(axis=1).argmin()]
    need = test.outcomes.scores[:, 0] == 0
    assert sweep.costs[cheapest] == pytest.approx(np.where(need, 21.3, 1.3))
    assert sweep.big[cheapest].tolist() == need.tolist()


def test_estimates_are_paid_for_unless_nobody_looks() -> None:
    fit, test = _side(400, 0, drafts=True), _side(400, 1, drafts=True)
    free, paid = (
        cascade_routing(fit, test, extra=extra, reading=0.0).costs for extra in (0.0, 0.5)
    )
    # The cheapest model alone is the first setting, and costs no estimate.
    assert (free[0] == 1.0).all() and (paid[0] == 1.0).all()
    assert paid[1].mean() == pytest.approx(free[1].mean() + 0.5)
