import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.calibration.logistic import Logistic, fit_logistic, log_odds, squash


def test_it_finds_the_curve_that_the_data_was_drawn_from():
    drawn = np.random.default_rng(0)
    x = drawn.normal(size=(20_000, 2))
    truth = 1 / (1 + np.exp(-(0.5 + 1.5 * x[:, 0] - 0.7 * x[:, 1])))
    model = fit_logistic(("a", "b"), x, (drawn.random(20_000) < truth).astype(float))
    for a, b in ((0, 0), (1, 1), (-2, 0.5)):
        expected = squash(0.5 + 1.5 * a - 0.7 * b)
        assert model.probability([a, b]) == pytest.approx(expected, abs=0.02)


def test_shares_are_soft_labels():
    x = np.repeat([[0.0], [1.0]], 5000, axis=0)
    model = fit_logistic(("x",), x, np.repeat([0.3, 0.8], 5000))
    assert model.probability([0]) == pytest.approx(0.3, abs=0.01)
    assert model.probability([1]) == pytest.approx(0.8, abs=0.01)


def test_a_value_that_is_missing_counts_as_the_mean():
    drawn = np.random.default_rng(0)
    x = drawn.normal(3, 2, size=(500, 1))
    x[::7] = np.nan
    model = fit_logistic(("x",), x, drawn.integers(0, 2, 500).astype(float))
    assert model.mean[0] == pytest.approx(np.nanmean(x))
    assert model.probability([None]) == model.probability([model.mean[0]])


def test_without_a_failure_it_is_not_certain():
    model = fit_logistic(("x",), np.zeros((50, 1)), np.ones(50))
    assert 0.9 < model.probability([0]) <= 51 / 52 + 1e-9


def test_an_input_that_never_was_there_has_no_weight():
    model = fit_logistic(("x",), np.full((50, 1), np.nan), np.tile([0.0, 1.0], 25))
    assert model.weights == (0.0,)
    assert model.probability([17.0]) == pytest.approx(0.5)


@given(st.floats(allow_nan=False))
def test_log_odds_become_a_probability(value):
    assert 0 <= squash(value) <= 1


@given(st.floats(min_value=0, max_value=1))
def test_probabilities_become_finite_log_odds(share):
    assert math.isfinite(log_odds(share))
    assert squash(log_odds(share)) == pytest.approx(share, abs=1.1e-4)


@pytest.mark.parametrize(
    ("field", "value"),
    [("mean", ()), ("scale", (0.0,)), ("weights", (math.inf,)), ("bias", math.nan)],
)
def test_numbers_that_make_no_curve_are_refused(field, value):
    good = {"inputs": ("x",), "mean": (0.0,), "scale": (1.0,), "weights": (1.0,), "bias": 0.0}
    with pytest.raises(ValueError, match="logistic"):
        Logistic(**(good | {field: value}))
