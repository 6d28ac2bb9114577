"""The replay says what the live policies say, request by request."""

from decimal import Decimal
from functools import partial

import numpy as np
import pytest
from policy_stepping import step

from pilotage.route.calibration.calibration import ACCEPT_INPUTS
from pilotage.route.calibration.logistic import Logistic, log_odds, squash
from pilotage.route.calibration.simulate import Rules, replay, replay_static
from pilotage.route.calibration.table import Table
from pilotage.route.policies import Cascade, CascadeRouting, PreRouter
from pilotage.route.verifiers.panel import Panel
from pilotage.route.verifiers.verifier import Verdict

NAMES = ("a", "b", "c", "d")
THRESHOLDS = [0.7, None, 0.9, None]
ROWS = 150
EDGES = (log_odds(0), log_odds(1))


def model(drawn):
    weights = tuple(float(value) for value in drawn.normal(1, 0.4, 2))
    return Logistic(
        inputs=("prior", "acceptance"),
        mean=(0.2, -0.1),
        scale=(1.3, 0.8),
        weights=weights,
        bias=float(drawn.normal(0, 1)),
    )


def acceptance(drawn):
    return Logistic(
        inputs=ACCEPT_INPUTS,
        mean=(0.1, 0.0, 0.3, -0.2),
        scale=(1.0, 1.2, 0.7, 0.9),
        weights=tuple(float(value) for value in drawn.normal(0.9, 0.3, 4)),
        bias=float(drawn.normal(0, 1)),
    )


@pytest.fixture(scope="module")
def world():
    """Tiers a and c have signals, not all of them on every row; b and d have none."""
    drawn = np.random.default_rng(5)
    shape = (ROWS, 4)
    usd = drawn.random(shape) * [0.1, 0.3, 0.6, 1.0] + [0.05, 0.2, 0.5, 0.9]
    sure, scored, judged = (drawn.normal(0, 2, shape) for _ in range(3))
    for said in (sure, scored, judged):
        said[:, [1, 3]] = np.nan
    sure[::3, 2] = scored[::4, 2] = scored[::5, 0] = judged[::2, 0] = np.nan
    table = Table(
        quality=drawn.random(shape),
        usd=usd,
        expected_usd=usd * drawn.uniform(0.8, 1.2, shape),
        judge_usd=np.full(shape, 0.01) * [1, 0, 2, 3],
        prior=np.sort(drawn.random(shape), axis=1),
        sure=sure,
        scored=scored,
        judged=judged,
    )
    after = {here: {there: model(drawn) for there in range(4) if there != here} for here in (0, 2)}
    return table, {0: acceptance(drawn), 2: acceptance(drawn)}, after


class Accepting:
    """A calibration's part in a panel."""

    def __init__(self, models):
        self.models = models

    def acceptance(self, tier, scores):
        model = self.models.get(NAMES.index(tier))
        return model and model.probability(
            [log_odds(scores[one]) if one in scores else None for one in model.inputs]
        )


class Says:
    """A verifier that says what the table does."""

    def __init__(self, name, log_odds_of, cost):
        self.name, self.log_odds_of, self.cost = name, log_odds_of, cost

    async def verify(self, call, answer, tier):
        value = self.log_odds_of[NAMES.index(tier)]
        if np.isnan(value):
            return Verdict()
        return Verdict(score=squash(value), cost=Decimal(self.cost[NAMES.index(tier)]))


def live(policy, table, rules, row):
    """Quality, dollars and generations of one row, by the parts that serve requests."""
    nothing = np.zeros(4)
    panel = Panel(
        [
            Says("logprobs", np.clip(table.sure[row], *EDGES), nothing),
            Says("scorer", np.clip(table.scored[row], *EDGES), nothing),
            Says("judge", np.clip(table.judged[row], *EDGES), table.judge_usd[row]),
        ],
        Accepting(rules.accept),
    )
    return step(
        policy,
        panel,
        partial(revised, rules),
        table,
        row,
        names=NAMES,
        generations=rules.generations,
    )


def revised(rules, tier, score, quality):
    """A calibration's part in what is learnt of an answer."""
    expected = dict(quality)
    for there, one in rules.after.get(NAMES.index(tier), {}).items():
        inputs = [log_odds(expected[NAMES[there]]), log_odds(score)]
        expected[NAMES[there]] = one.probability(inputs)
    return {**expected, tier: score}


@pytest.mark.parametrize("generations", [1, 2, 3])
@pytest.mark.parametrize("usd_weight", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("name", ["router", "cascade", "cascade_routing"])
def test_it_decides_as_the_live_policy(world, name, usd_weight, generations):
    table, accept, after = world
    rules = Rules(thresholds=THRESHOLDS, accept=accept, after=after, generations=generations)
    certified = {
        tier: least for tier, least in zip(NAMES, THRESHOLDS, strict=True) if least is not None
    }
    policy = {
        "router": PreRouter(usd_weight),
        "cascade": Cascade(certified, usd_weight),
        "cascade_routing": CascadeRouting(usd_weight),
    }[name]
    got = replay(name, table, rules, usd_weight)
    expected = np.array([live(policy, table, rules, row) for row in range(ROWS)])
    found = np.column_stack([got.quality, got.usd, got.generations])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_dear_dollar_spends_less(world):
    table, accept, after = world
    rules = Rules(thresholds=THRESHOLDS, accept=accept, after=after, generations=2)
    for name in ("router", "cascade_routing"):
        spent = [replay(name, table, rules, weight).point[1] for weight in (0.0, 0.5, 5.0)]
        assert spent == sorted(spent, reverse=True)
        assert spent[0] > spent[-1]


def test_one_tier_is_its_own_column(world):
    table, _, _ = world
    assert replay_static(table, 2).point == (
        pytest.approx(table.quality[:, 2].mean()),
        pytest.approx(table.usd[:, 2].mean()),
    )
