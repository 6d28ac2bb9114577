import msgspec
import pytest
from calibrating import PRICES, requests, routing

from pilotage.errors import UsageError
from pilotage.route.calibration import check_policy
from pilotage.route.calibration.calibrate import Wish, calibrate

RULES = {"kind": "rules"}
CHECKS = {"checks": ["schema", "logprobs"]}


@pytest.fixture(scope="module")
def found():
    """The cascades win, the router does not."""
    rules = routing("small", "large", estimator=RULES)
    return calibrate(requests(1500, sure=3), rules, PRICES, Wish(quality=0.85))


def spec(policy, **fields):
    return routing(
        "small", "large", policy=policy, **({"estimator": RULES, "verifier": CHECKS} | fields)
    )


@pytest.mark.parametrize("policy", ["cascade", "cascade_routing"])
def test_a_policy_that_won_may_run(found, policy):
    check_policy(spec(policy), found)


def test_one_tier_may_always_run():
    check_policy(routing("small", "large"), None)


@pytest.mark.parametrize("policy", ["router", "cascade", "cascade_routing"])
def test_what_was_not_measured_may_not(policy):
    with pytest.raises(UsageError, match="has not been shown to beat") as caught:
        check_policy(spec(policy), None)
    assert caught.value.exit_code == 2
    check_policy(spec(policy, force=True), None)


def test_what_lost_may_not_and_the_figures_say_why(found):
    one = found.policies["router"].comparison
    with pytest.raises(UsageError) as caught:
        check_policy(spec("router"), found)
    said = str(caught.value)
    for figure in (one.quality, one.mix_quality, one.over_mix.low, one.best_quality):
        assert f"{figure:.3f}" in said
    assert f"chose {found.chosen}" in said
    check_policy(spec("router", force=True), found)


def test_a_policy_that_the_data_could_not_show_may_not(found):
    without = msgspec.structs.replace(found, policies={})
    with pytest.raises(UsageError, match="has not measured the policy cascade: a cascade needs"):
        check_policy(spec("cascade"), without)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"estimator": {"kind": "llm"}}, "estimator.kind was rules and is llm"),
        ({"estimator": {}}, "estimator.kind was rules and is none"),
        ({"verifier": {}}, "verifier.checks is without logprobs"),
        ({"verifier": CHECKS | {"thresholds": {"small": 0.5}}}, "verifier.thresholds are others"),
        ({"max_generations": 3}, "max_generations was 2 and is 3"),
    ],
)
def test_another_set_up_is_another_policy(found, fields, said):
    with pytest.raises(UsageError, match=said):
        check_policy(spec("cascade", **fields), found)


def test_other_rules_are_another_policy():
    def ruled(word):
        rules = {"kind": "rules", "rules": [{"tier": "large", "contains": [word]}]}
        return spec("router", estimator=rules)

    found = calibrate(requests(1000, told=0.9), ruled("prove"), PRICES)
    check_policy(ruled("prove"), found)
    with pytest.raises(UsageError, match="rules are others"):
        check_policy(ruled("hello"), found)
