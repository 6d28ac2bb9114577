import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pilotage.route.calibration.bound import Threshold, certified_threshold, refutation

TARGET, DELTA = 0.85, 0.1


def truth(score):
    """P(good | score) in the made-up world."""
    return 0.5 + 0.5 * score


def drawn(rng, count, *, share=False):
    scores = rng.random(count)
    good = (rng.random(count) < truth(scores)).astype(float)
    # Shares with the same mean: half the distance to it.
    return scores, (good + truth(scores)) / 2 if share else good


@pytest.mark.parametrize("share", [False, True])
def test_thresholds_hold_as_often_as_they_say(share):
    rng = np.random.default_rng(7)
    broken = found = 0
    worlds = 400
    for _ in range(worlds):
        one = certified_threshold(
            drawn(rng, 300, share=share), drawn(rng, 450, share=share), target=TARGET, delta=DELTA
        )
        if one.value is None:
            continue
        found += 1
        # Scores are uniform: the mean of what is accepted is that of the interval's middle.
        broken += truth((one.value + 1) / 2) < TARGET
    # Three standard errors of a share of 10 % over 400 worlds are 4.5 points.
    assert broken / worlds <= DELTA + 0.045
    assert found / worlds > (0.6 if share else 0.8)


def test_more_rows_accept_more():
    rng = np.random.default_rng(1)
    accepted = [
        certified_threshold(
            drawn(rng, 2000), drawn(rng, count), target=TARGET, delta=DELTA
        ).accepted
        / count
        for count in (100, 20_000)
    ]
    assert accepted[0] < accepted[1] <= 0.6 + 0.03  # truth(0.7) = 0.85: 0.4 on is 0.85 on average


def test_scores_that_say_nothing_are_not_certified():
    rng = np.random.default_rng(2)
    sides = [(rng.random(500), (rng.random(500) < 0.6).astype(float)) for _ in range(2)]
    found = certified_threshold(*sides, target=TARGET, delta=DELTA)
    assert found == Threshold(value=None, accepted=0, rows=500, quality=None)


def test_no_rows_certify_nothing():
    empty = (np.empty(0), np.empty(0))
    some = (np.array([0.5, 0.7]), np.array([1.0, 1.0]))
    assert certified_threshold(some, empty, target=0.5, delta=0.1).value is None
    assert refutation([], 0.5) == 1


@given(st.integers(1, 200), st.data(), st.floats(0.05, 0.95))
def test_for_right_and_wrong_it_is_the_exact_binomial_test(rows, data, target):
    good = data.draw(st.integers(0, rows))
    values = [1.0] * good + [0.0] * (rows - good)
    expected = binomtest(good, rows, target, alternative="greater").pvalue
    assert refutation(values, target) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1))
def test_it_is_a_probability(values, target):
    assert 0 <= refutation(values, target) <= 1
