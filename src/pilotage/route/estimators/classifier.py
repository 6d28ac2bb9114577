"""The local classifier: how good each model's answer to a prompt is expected to be.

It is fitted once, with scikit-learn, and predicts with NumPy alone in about half a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.predictor import Predictor, fit_predictor
from pilotage.route.estimators.space import Space, fit_space

FORM: Final = "pilotage.classifier/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Expected scores of models, by prompt.

    Attributes:
        space: Prompts as vectors.
        predictor: Scores from vectors.
    """

    space: Space
    predictor: Predictor

    @property
    def models(self) -> int:
        """How many models it knows."""
        return len(self.predictor.means)

    def estimate_one(self, prompt: str) -> tuple[float, ...]:
        """Expected score of each model's answer to a prompt, 0 to 1."""
        return tuple(self.predict([prompt])[0].tolist())

    def predict(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Expected scores, a row a prompt and a column a model."""
        return self.predictor.predict(self.space.points(prompts))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, some megabytes: arrays are compressed and written as base64."""
        return {
            "form": FORM,
            "space": self.space.as_dict(),
            "predictor": self.predictor.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Classifier:
        """The classifier that `as_dict` wrote.

        Raises:
            UsageError: It is of another form or damaged.
        """
        if not isinstance(data, Mapping) or data.get("form") != FORM:
            raise UsageError("the classifier is of another form", hint="Calibrate again")
        try:
            space = Space.from_dict(data["space"])
            predictor = Predictor.from_dict(data["predictor"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError("the classifier is damaged", hint="Calibrate again") from error
        if predictor.slopes.shape[1] != space.size:
            raise UsageError("the classifier is damaged", hint="Calibrate again")
        return cls(space=space, predictor=predictor)


def fit_classifier(
    prompts: Sequence[str], scores: NDArray[np.float64], *, seed: int = 0
) -> Classifier:
    """Fit a classifier: see `fit_held_out`."""
    return fit_held_out(prompts, scores, seed=seed)[0]


def fit_held_out(
    prompts: Sequence[str], scores: NDArray[np.float64], *, seed: int = 0
) -> tuple[Classifier, NDArray[np.float64]]:
    """Fit a classifier, and what it would have said of each prompt without having seen it.

    The second is what thresholds and policies may be chosen on without data of their own: a row
    a prompt, a column a model. Prompts that are there several times count once, with their mean.

    Args:
        prompts: What was asked.
        scores: What each model's answer was worth, 0 to 1; a row a prompt, a column a model, NaN
            where it is not known.
        seed: Of what is drawn at random.

    Raises:
        UsageError: scikit-learn is not installed, there is nothing to fit to, or a model has no
            score at all.
    """
    if not len(prompts) or scores.shape[0] != len(prompts) or not scores.shape[1]:
        raise UsageError("a classifier is fitted to prompts with a score for each model")
    known = np.isfinite(scores)
    if not known.any(axis=0).all():
        raise UsageError("a classifier cannot be fitted to a model without any score")
    place: dict[str, int] = {}
    rows = np.array([place.setdefault(prompt, len(place)) for prompt in prompts])
    total, count = np.zeros((2, len(place), scores.shape[1]))
    np.add.at(total, rows, np.where(known, scores, 0.0))
    np.add.at(count, rows, known)
    merged = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    space, points = fit_space(list(place), seed=seed)
    predictor, held_out = fit_predictor(points, merged, seed=seed)
    return Classifier(space=space, predictor=predictor), held_out[rows]
