import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from pilotage.errors import UsageError
from pilotage.route.call import Call
from pilotage.route.estimators.classifier import fit_classifier
from pilotage.route.estimators.fitted import FittedEstimator


@dataclass
class Stored:
    """The part of a calibration that matters here."""

    tiers: tuple[str, ...]
    classifier: object


@pytest.fixture(scope="module")
def classifier():
    prompts = [f"{word} {number}" for number in range(30) for word in ("prove", "hello")]
    return fit_classifier(prompts, np.array([[0.0, 1.0], [1.0, 1.0]] * 30))


def test_it_expects_what_was_fitted(classifier):
    made = FittedEstimator.of(Stored(("small", "large"), classifier.as_dict()))
    messages = [{"role": "user", "content": "prove 99"}, {"role": "assistant", "content": "hello"}]
    found = asyncio.run(made.estimate(Call(body={"messages": messages}, request_id="r")))
    assert list(found.quality) == ["small", "large"]
    assert found.quality == dict(
        zip(("small", "large"), classifier.estimate_one("prove 99"), strict=True)
    )
    assert found.quality["small"] < 0.5 < found.quality["large"] <= 1
    assert (found.note, found.cost) == ("classifier", 0)


def test_a_calibration_without_a_classifier():
    with pytest.raises(UsageError, match="holds no classifier"):
        FittedEstimator.of(Stored(("small", "large"), None))


def test_another_number_of_tiers(classifier):
    with pytest.raises(UsageError, match="another number of tiers"):
        FittedEstimator.of(Stored(("a", "b", "c"), classifier.as_dict()))


@pytest.mark.parametrize("data", [{}, {"form": "?"}])
def test_a_damaged_classifier(data):
    with pytest.raises(UsageError, match="Calibrate again"):
        FittedEstimator.of(Stored(("small", "large"), data))
