import json
import math
from decimal import Decimal

import msgspec
import pytest
from calibrating import PRICES, price, requests, routing
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import StoreError, UsageError
from pilotage.route.calibration import Calibration, check_policy
from pilotage.route.calibration.calibrate import Wish, calibrate

TIERS = ("small", "large")


@pytest.fixture(scope="module")
def found():
    return calibrate(
        requests(400, told=0.5, sure=3, judged=0.9),
        routing(*TIERS),
        PRICES,
        Wish(quality=0.85, usd=Decimal("0.0009")),
    )


@pytest.fixture(scope="module")
def slim(found):
    """Without the classifier, which is most of the file."""
    return msgspec.structs.replace(found, classifier={"form": "left out"})


@pytest.fixture(scope="module")
def data(slim):
    return json.loads(msgspec.json.encode(slim))


def parse(data):
    return Calibration.parse(json.dumps(data).encode(), "f.json")


def test_it_comes_back_as_it_was(found, tmp_path):
    path = tmp_path / "r.json"
    path.write_text("something else")
    found.save(path)
    assert Calibration.load(path) == found
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_to(slim, tmp_path):
    with pytest.raises(StoreError, match="cannot be written: no such file") as caught:
        slim.save(tmp_path / "none" / "r.json")
    assert caught.value.hint == "Choose with -o"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        Calibration.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "pilotage.routing/2"}, 'schema is "pilotage.routing/2", and this version'),
        ({"schema": 1}, "not a calibration"),
        ({"tiers": []}, "tiers should be"),
        ({"tiers": ["small", "small"]}, "tiers should be"),
        ({"tiers": ["small", "other"]}, "every tier needs"),
        ({"prices": {}}, "every tier needs"),
        ({"chosen": "luck"}, "Invalid enum value"),
        ({"chosen": "static", "chosen_tier": None}, "chosen_tier goes with static"),
        ({"chosen": "static", "chosen_tier": "huge"}, "a tier that is none"),
        (
            {"thresholds": {"huge": {"value": None, "accepted": 0, "rows": 1, "quality": None}}},
            "none",
        ),
        (
            {"thresholds": {"small": {"value": 1.5, "accepted": 0, "rows": 1, "quality": None}}},
            "0 to 1",
        ),
        ({"extra": 1}, "unknown field"),
        ({"goal": None}, "not a calibration"),
        (
            {
                "later": {
                    "small": {
                        "large": {
                            "inputs": ["x"],
                            "mean": [0],
                            "scale": [1],
                            "weights": [1],
                            "bias": 0,
                        }
                    }
                }
            },
            "later should be",
        ),
        (
            {
                "accept": {
                    "small": {"inputs": ["x"], "mean": [0], "scale": [1], "weights": [1], "bias": 0}
                }
            },
            "accept should be",
        ),
    ],
)
def test_a_wrong_file_says_what_is_wrong(data, change, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse(data | change)
    assert caught.value.where == "f.json"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"schema": NaN}'])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(UsageError, match="not a calibration"):
        Calibration.parse(raw, "f.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_are_finite(data, number):
    text = json.dumps(data).replace(json.dumps(data["completion_tokens"]["small"]), number)
    assert number in text
    with pytest.raises(UsageError, match="not a calibration"):
        Calibration.parse(text.encode(), "f.json")


def leaves(value, path=()):
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    yield path


def damaged(data, drawn):
    copy = json.loads(json.dumps(data))
    path = drawn.draw(st.sampled_from([one for one in leaves(copy) if one]))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if drawn.draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner[path[-1]] = drawn.draw(
            st.none()
            | st.integers(-2, 2)
            | st.floats(allow_nan=False)
            | st.text(max_size=3)
            | st.just([])
            | st.just({})
        )
    return copy


@given(drawn=st.data())
@settings(max_examples=150)
def test_damage_is_refused_or_does_no_harm(data, drawn):
    try:
        found = parse(damaged(data, drawn))
    except UsageError as error:
        assert error.where == "f.json"
        return
    for tier in found.tiers:
        value = found.acceptance(tier, {"prior": 0.5, "logprobs": 0.7, "judge": 1.0})
        assert value is None or 0 <= value <= 1
        least = found.threshold(tier)
        assert least is None or 0 <= least <= 1
        after = found.after(tier, 0.3, dict.fromkeys(found.tiers, 0.5))
        assert all(0 <= one <= 1 for one in after.values())
    assert all(math.isfinite(found.usd_weight(name)) for name in found.policies)


def test_acceptance_follows_what_is_known(found):
    high = found.acceptance("small", {"prior": 0.6, "logprobs": 0.95, "judge": 0.95})
    low = found.acceptance("small", {"prior": 0.6, "logprobs": 0.05, "judge": 0.05})
    assert high > 0.9
    assert low < 0.2
    assert low < found.acceptance("small", {}) < high
    assert found.acceptance("large", {"prior": 0.5}) is None


def test_a_failure_never_makes_the_others_likelier_to_succeed(found):
    before = {"small": 0.6, "large": 0.9}
    bad, good = found.after("small", 0.05, before), found.after("small", 0.99, before)
    assert bad["small"] == 0.05
    assert 0 < bad["large"] <= good["large"] < 1
    assert found.after("large", 0.5, before) == {"small": 0.6, "large": 0.5}


def test_prices_that_changed_are_named(found):
    assert found.stale_prices(PRICES) == ()
    assert found.stale_prices(PRICES | {"large": price("12")}) == ("large",)


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        (("small", "huge"), "it knows nothing of huge; the spec has no large"),
        (("small", "medium", "large"), "it knows nothing of medium"),
        (("small",), "the spec has no large"),
        (("large", "small"), "its order is small, large"),
    ],
)
def test_other_tiers_are_named(found, tiers, said):
    with pytest.raises(UsageError, match=said):
        found.require_tiers(routing(*tiers))
    with pytest.raises(UsageError, match=said):
        check_policy(routing(*tiers), found)
