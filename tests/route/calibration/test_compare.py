import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.calibration.compare import compare, mix_quality, mix_usd
from pilotage.route.evaluation.curve import upper_hull

TIERS = ("small", "large")


def world(rows=600, seed=0):
    drawn = np.random.default_rng(seed)
    quality = (drawn.random((rows, 2)) < (0.6, 0.9)).astype(float)
    return quality, np.tile([0.001, 0.01], (rows, 1))


def measure(quality, usd, tier, seed=0):
    every = np.arange(len(quality))
    got = (quality[every, tier], usd[every, tier], np.ones(len(quality)))
    return compare(TIERS, quality, usd, got, confidence=0.95, seed=seed)


def test_an_oracle_beats_the_mix():
    quality, usd = world()
    one = measure(quality, usd, np.where(quality[:, 0] == 1, 0, 1))
    assert one.beats
    assert one.over_mix.low > 0.1
    assert one.saved.low > 0.3
    assert one.over_best.low > 0
    assert (one.best_single, one.best_usd) == ("large", pytest.approx(0.01))
    assert one.quality == pytest.approx(one.mix_quality + one.over_mix.value)


@pytest.mark.parametrize("tier", [0, 1])
def test_one_model_for_everything_does_not_beat_itself(tier):
    one = measure(*world(), tier)
    assert not one.beats
    assert one.over_mix.value == pytest.approx(0, abs=1e-12)
    assert one.saved.value == pytest.approx(0, abs=1e-9)


def test_coins_rarely_beat_the_mix_that_they_are():
    beats = 0
    for seed in range(20):
        quality, usd = world(300, seed)
        coin = np.random.default_rng(seed + 1000).integers(0, 2, 300)
        beats += measure(quality, usd, coin, seed).beats
    assert beats <= 3  # 2.5 % of 20 are 0.5; more than 3 have a probability below 1 %


def test_models_that_cost_nothing_leave_nothing_to_save():
    quality, _ = world()
    one = measure(quality, np.zeros_like(quality), np.zeros(len(quality), int))
    assert (one.saved.value, one.usd) == (0, 0)
    assert not one.beats


points = st.lists(
    st.tuples(st.floats(0, 1), st.integers(1, 1000).map(lambda mille: mille / 1000)),
    min_size=1,
    max_size=7,
    unique_by=lambda p: p[1],
)


@given(points, st.floats(0, 1))
def test_the_mix_is_the_upper_hull(models, place):
    quality, usd = (np.array([values]) for values in zip(*models, strict=True))
    hull = upper_hull(usd[0], quality[0])
    budget = np.array([usd.min() + place * (1.2 - usd.min())])
    assert mix_quality(quality, usd, budget) == pytest.approx(hull.at(budget), abs=1e-9)
    wanted = quality.min() + place * (quality.max() - quality.min())
    least = mix_usd(quality, usd, np.array([wanted]))[0]
    assert hull.at(np.array([least + 1e-12]))[0] >= wanted - 1e-6
    if least > usd.min() + 1e-6:
        assert hull.at(np.array([least - 1e-6]))[0] <= wanted + 1e-9
