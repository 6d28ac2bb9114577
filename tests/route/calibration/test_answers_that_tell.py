"""Data with answers: what is read in them makes a cascade, and the gateway reads the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibrating import PRICES, price, requests, routing
from policy_stepping import step

from pilotage.errors import UsageError
from pilotage.route.calibration import Calibration, check_policy
from pilotage.route.calibration.calibrate import Wish, calibrate
from pilotage.route.calibration.reading import UserData, read_data
from pilotage.route.calibration.rows import Part
from pilotage.route.calibration.table import Table, costs, expected_costs, usages
from pilotage.route.policies import Cascade, CascadeRouting
from pilotage.route.verifiers import Panel, build_verifiers

TIERS = ("small", "large")
BLIND = {"kind": "rules"}
GSM8K = Path(__file__).parents[4] / "shared" / "data" / "routing" / "gsm8k_two_models.csv"


def spec(**fields):
    return routing(*TIERS, **({"estimator": BLIND} | fields))


@pytest.fixture(scope="module")
def data():
    return requests(600, shown=1)


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    """As the gateway reads it."""
    path = tmp_path_factory.mktemp("calibration") / "routing.json"
    calibrate(data, spec(), PRICES, Wish(quality=0.8)).save(path)
    return Calibration.load(path)


def test_answers_that_tell_make_a_cascade(found):
    assert found.setup.signals == ("scorer",)
    assert set(found.scorer) == {"small"}
    assert found.chosen in ("cascade", "cascade_routing")
    assert not found.policies["router"].comparison.beats
    one = found.policies[found.chosen].comparison
    assert one.beats
    assert 1 < one.generations < 2
    # What is weighed was held out; what is certified had no part in it.
    assert found.data.parts["tune"] == 0
    assert found.data.parts["bound"] > 50


def test_the_gateway_has_to_read_them_too(found):
    wanted = {"policy": found.chosen, "verifier": {"checks": ["scorer"]}}
    check_policy(spec(**wanted), found)
    with pytest.raises(UsageError, match="checks is without scorer"):
        check_policy(spec(policy=found.chosen), found)


def replayed(found, data):
    """The test rows, and what is known of them before anything is verified."""
    rows = [row for row in data.rows if row.part is Part.TEST]
    used = usages(rows, TIERS, 256)
    completion = [found.completion_tokens[tier] for tier in TIERS]
    nothing = np.full((len(rows), 2), np.nan)
    table = Table(
        quality=np.array([[row.scores[tier] for tier in TIERS] for row in rows]),
        usd=costs(used, TIERS, PRICES),
        expected_usd=expected_costs(used, completion, TIERS, PRICES),
        judge_usd=np.zeros((len(rows), 2)),
        prior=np.ones((len(rows), 2)),  # what rules expect that say nothing
        sure=nothing,
        scored=nothing,
        judged=nothing,
    )
    return rows, table


@pytest.mark.parametrize("name", ["cascade", "cascade_routing"])
def test_the_live_policies_get_what_was_measured(found, data, name):
    weight = found.policies[name].usd_weight
    policy = (
        CascadeRouting(weight)
        if name == "cascade_routing"
        else Cascade({"small": found.threshold("small")}, weight)
    )
    verifiers = build_verifiers(spec(verifier={"checks": ["scorer"]}), {}, found)
    assert [one.name for one in verifiers] == ["scorer"]
    panel = Panel(verifiers, found)
    rows, table = replayed(found, data)
    got = [
        step(
            policy,
            panel,
            found.after,
            table,
            place,
            names=TIERS,
            generations=2,
            prompt=row.prompt,
            answers=row.answers,
        )
        for place, row in enumerate(rows)
    ]
    one = found.policies[name].comparison
    assert 1 < one.generations < 2
    assert np.mean(got, axis=0) == pytest.approx((one.quality, one.usd, one.generations), rel=1e-9)


def test_several_answers_to_a_prompt_are_not_held_out_from_each_other(data):
    twice = UserData((*data.rows, *data.rows[:50]), "")
    found = calibrate(twice, spec(), PRICES)
    assert found.data.parts["tune"] > 50


def test_answers_without_text_say_nothing(data):
    silent = tuple(replace(row, answers={"small": " \n"}) for row in data.rows[:200])
    found = calibrate(UserData(silent, ""), spec(), PRICES)
    assert (found.setup.signals, found.scorer) == ((), {})


def test_a_gateway_without_a_scorer_cannot_read(data):
    plain = calibrate(UserData(data.rows[:100], ""), spec(), PRICES)
    assert plain.scorer == {}  # too few
    for calibration in (None, plain):
        with pytest.raises(UsageError, match="scorer needs a calibration with answers") as caught:
            build_verifiers(spec(verifier={"checks": ["scorer"]}), {}, calibration)
        assert caught.value.where == "routing.verifier.checks"


@pytest.mark.slow
@pytest.mark.skipif(not GSM8K.exists(), reason="the shared data is not here")
def test_gsm8k_is_cheaper_with_what_is_read_in_the_answers(tmp_path):
    """Mixtral's answers to school sums, and GPT-4's, as RouteLLM publishes them."""
    prices = {"small": price("0.24"), "large": price("20")}
    names = {
        "small": ["mistralai/Mixtral-8x7B-Instruct-v0.1"],
        "large": ["gpt-4-1106-preview"],
    }
    data = read_data(GSM8K, names)
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for row in data.rows:
            tokens = {
                tier: {"prompt": 1 + len(row.prompt) // 4, "completion": 1 + len(text) // 4}
                for tier, text in row.answers.items()
            }
            line = {"prompt": row.prompt, "scores": row.scores, "answers": row.answers}
            print(json.dumps({**line, "tokens": tokens}), file=file)
    again = read_data(path, {tier: [tier] for tier in TIERS})
    found = calibrate(again, routing(*TIERS, estimator={"kind": "classifier"}), prices)
    mute = UserData(tuple(replace(row, answers={}) for row in again.rows), "")
    without = calibrate(mute, routing(*TIERS, estimator={"kind": "classifier"}), prices)
    assert (found.chosen, without.chosen) == ("cascade_routing", "router")
    one, other = (each.policies[each.chosen].comparison for each in (found, without))
    assert one.saved.low > 0.2
    assert one.saved.value > other.saved.value + 0.1
    assert one.quality >= 0.95 * one.best_quality
    found.save(tmp_path / "found.json")
    assert (tmp_path / "found.json").stat().st_size < 12_000_000
