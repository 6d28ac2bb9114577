import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.calibration.scale import Isotonic, Platt, fit_scale


def judged(count):
    """A judge that is too sure of itself: 0.9 means 0.6."""
    drawn = np.random.default_rng(0)
    scores = drawn.choice([0.1, 0.5, 0.9, 0.95], count)
    truth = np.select([scores == 0.1, scores == 0.5, scores == 0.9], [0.2, 0.4, 0.6], 0.7)
    return scores, (drawn.random(count) < truth).astype(float)


@pytest.mark.parametrize(("count", "kind"), [(800, Platt), (8000, Isotonic)])
def test_a_judge_who_is_too_sure_is_set_right(count, kind):
    scale = fit_scale(*judged(count))
    assert isinstance(scale, kind)
    for score, truth in ((0.1, 0.2), (0.5, 0.4), (0.9, 0.6), (0.95, 0.7)):
        assert scale.apply(score) == pytest.approx(truth, abs=0.08)


@given(st.integers(0, 10**6), st.sampled_from([2, 10, 1000]))
def test_a_higher_score_is_never_worth_less(seed, levels):
    drawn = np.random.default_rng(seed)
    scores = drawn.integers(0, levels, 1000) / levels
    scale = fit_scale(scores, drawn.random(1000))
    assert isinstance(scale, Isotonic)
    worth = [scale.apply(score) for score in np.linspace(-0.5, 1.5, 101)]
    assert all(0 <= value <= 1 for value in worth)
    assert worth == sorted(worth)


@pytest.mark.parametrize(
    ("scores", "quality"),
    [((), ()), ((0.1,), (0.1, 0.2)), ((0.2, 0.1), (0, 1)), ((0.1, 0.2), (1, 0)), ((0.1,), (2,))],
)
def test_steps_that_do_not_rise_are_refused(scores, quality):
    with pytest.raises(ValueError, match="isotonic"):
        Isotonic(scores=scores, quality=quality)
