import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.calibration.logistic import Logistic
from pilotage.route.calibration.logprobs import LogprobModel, fit_logprobs, logprob_features


@pytest.fixture(scope="module")
def model():
    drawn = np.random.default_rng(0)
    quality = drawn.integers(0, 2, 600).astype(float)
    answers = [
        (list(-drawn.exponential(0.1 if good else 0.6, 30)), 30 + int(40 * (1 - good)))
        for good in quality
    ]
    return fit_logprobs(answers, quality)


def test_a_sure_answer_is_better_than_an_unsure_one(model):
    assert model.score([-0.05] * 29 + [-0.3], 30) > 0.9
    assert model.score([-0.05] * 20 + [-3.0] * 10, 70) < 0.1


def test_an_answer_that_nothing_is_known_of_is_average(model):
    assert model.score([], 40) == model.average == pytest.approx(0.5, abs=0.05)


@given(st.lists(st.floats()), st.integers(-5, 10**9))
def test_any_numbers_give_a_share(model, logprobs, tokens):
    assert 0 <= model.score(logprobs, tokens) <= 1


@given(st.lists(st.floats(-19, 0), min_size=1), st.integers(0, 500))
def test_quantiles_are_numpys(logprobs, tokens):
    expected = np.quantile(logprobs, [0, 0.05, 0.1, 0.25, 0.5])
    found = logprob_features(logprobs, tokens)
    assert found[:5] == pytest.approx(expected)
    assert found[5] == pytest.approx(np.mean(logprobs))
    assert found[6] == logprobs[-1]


def test_a_model_of_other_inputs_is_refused():
    other = Logistic(inputs=("x",), mean=(0.0,), scale=(1.0,), weights=(1.0,), bias=0.0)
    with pytest.raises(ValueError, match="other inputs"):
        LogprobModel(logistic=other, average=0.5)
