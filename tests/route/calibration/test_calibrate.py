from decimal import Decimal

import pytest
from calibrating import PRICES, requests, routing

from pilotage.errors import UsageError
from pilotage.route.calibration.calibrate import LEAST_ROWS, Wish, calibrate
from pilotage.route.calibration.reading import UserData
from pilotage.route.calibration.rows import Part
from pilotage.route.estimators.classifier import Classifier

SPEC = routing("small", "large")

BLIND = routing("small", "large", estimator={"kind": "rules"})
"""Knows nothing before generation, and fits no classifier: quick."""


def test_words_that_tell_make_a_router():
    data = requests(1000, told=1)
    found = calibrate(data, SPEC, PRICES)
    assert found.chosen == "router"
    one = found.policies["router"].comparison
    assert one.over_mix.low > 0
    assert one.saved.low > 0
    assert set(found.policies) == {"router"}
    assert one.rows == sum(row.part is Part.TEST for row in data.rows)
    # The large model is expected to gain more on hard words than on easy ones.
    hard, easy = Classifier.from_dict(found.classifier).predict(
        ["prove the lemma on number 7 0.3", "say hello to number 7 0.3"]
    )
    assert hard[1] - hard[0] > 0.3 > easy[1] - easy[0]


def test_log_probabilities_that_tell_make_a_cascade():
    data = requests(2000, sure=3)
    found = calibrate(data, BLIND, PRICES, Wish(quality=0.85))
    assert found.chosen in ("cascade", "cascade_routing")
    assert found.setup.signals == ("logprobs",)
    assert not found.policies["router"].comparison.beats
    one = found.policies["cascade"].comparison
    assert one.beats
    assert 1 < one.generations < 1.8
    failed, won = (found.after("small", one, {"large": 0.9})["large"] for one in (0.05, 0.95))
    assert failed < won
    # The certified threshold keeps its promise on rows that it has not seen.
    least = found.threshold("small")
    taken = [
        row.scores["small"]
        for row in data.rows
        if row.part is Part.TEST
        and found.acceptance(
            "small", {"logprobs": found.logprobs["small"].score(row.logprobs["small"], 20)}
        )
        >= least
    ]
    assert len(taken) > 100
    assert sum(taken) / len(taken) >= 0.85 - 0.02


def test_a_judge_who_costs_more_than_he_saves_makes_none():
    data = requests(1500, judged=0.95)
    found = calibrate(data, BLIND, PRICES | {"small": PRICES["large"]})
    assert found.setup.signals == ("judge",)
    assert (found.chosen, found.chosen_tier) == ("static", "large")
    assert found.judge["small"].apply(0.9) > found.judge["small"].apply(0.4)
    # Where the large model is dear enough the same judge is worth asking.
    cheap_judge = routing(
        "small", "large", estimator={"kind": "rules"}, verifier={"judge_tier": "small"}
    )
    assert calibrate(data, cheap_judge, PRICES).chosen in ("cascade", "cascade_routing")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_signals_that_say_nothing_are_refused(seed):
    found = calibrate(requests(1000, seed=seed, sure=1e-9), BLIND, PRICES)
    assert (found.chosen, found.chosen_tier) == ("static", "large")
    assert set(found.policies) == {"router", "cascade", "cascade_routing"}
    assert not any(fit.comparison.beats for fit in found.policies.values())
    assert "no policy beats" in found.reason


def test_what_is_tested_on_is_not_fitted_on():
    data = requests(200, told=0.9, sure=3, judged=0.9)
    turned = UserData(
        tuple(
            row
            if row.part is not Part.TEST
            else type(row)(
                prompt=row.prompt,
                prompt_chars=100,
                scores={tier: 1 - value for tier, value in row.scores.items()},
                logprobs={"small": [-9.0] * 20},
                judge={"small": 0.0},
                tokens={"small": (9, 9), "large": (9, 900)},
            )
            for row in data.rows
        ),
        data.sha256,
    )
    one, other = calibrate(data, SPEC, PRICES), calibrate(turned, SPEC, PRICES)
    for name in ("classifier", "logprobs", "judge", "accept", "later", "thresholds", "goal"):
        assert getattr(one, name) == getattr(other, name)
    assert one.completion_tokens == other.completion_tokens
    for policy, fit in one.policies.items():
        assert fit.usd_weight == other.policies[policy].usd_weight
        assert fit.comparison != other.policies[policy].comparison


def test_a_budget_is_kept():
    data = requests(700, sure=3)
    budgets = [Decimal("0.0004"), Decimal("0.0009")]
    got = [calibrate(data, BLIND, PRICES, Wish(usd=budget)) for budget in budgets]
    for budget, found in zip(budgets, got, strict=True):
        assert found.goal.usd == budget
        assert found.policies["cascade_routing"].comparison.usd <= float(budget) * 1.1
    tight, wide = (found.policies["cascade_routing"].comparison for found in got)
    assert tight.quality < wide.quality


def test_rules_are_measured_as_they_are():
    spec = routing(
        "small",
        "large",
        estimator={"kind": "rules", "rules": [{"tier": "large", "contains": ["prove"]}]},
    )
    found = calibrate(requests(1000, told=0.9), spec, PRICES)
    assert found.classifier is None
    assert (found.setup.estimator, found.chosen) == ("rules", "router")


def test_thresholds_of_the_spec_are_those_that_are_measured():
    spec = routing(
        "small", "large", estimator={"kind": "rules"}, verifier={"thresholds": {"small": 0}}
    )
    found = calibrate(requests(500, sure=3), spec, PRICES)
    assert found.threshold("small") == 0
    # Everything that begins at the small tier stays there.
    assert found.policies["cascade"].comparison.generations == 1


def test_too_few_rows():
    with pytest.raises(UsageError, match=f"{LEAST_ROWS - 1} rows are too few"):
        calibrate(requests(LEAST_ROWS - 1), SPEC, PRICES)
    rows = requests(1).rows * LEAST_ROWS
    with pytest.raises(UsageError, match="prompts are too alike"):
        calibrate(UserData(rows, ""), SPEC, PRICES)
    assert calibrate(requests(LEAST_ROWS), BLIND, PRICES).data.rows == LEAST_ROWS
