"""After a draft: how good it is, and how good the other models' answers would be.

The counterpart of the classifier once an answer is there, from its text and the prompt's alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.answer_marks import ANSWER_MARKS, answer_marks
from pilotage.route.estimators.arrays import packed, unpacked
from pilotage.route.estimators.predictor import Predictor, fit_predictor
from pilotage.route.estimators.space import Space, fit_space

Values = NDArray[np.float64]

FORM: Final = "pilotage.scorer/1"

_FAR: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScorer:
    """Expected scores of models, by prompt and one model's answer.

    Attributes:
        asked: Prompts as vectors.
        said: Answers as vectors.
        centre: Means of the answers' marks.
        scale: Their standard deviations.
        predictor: Scores from all of it.
    """

    asked: Space
    said: Space
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    predictor: Predictor

    @property
    def models(self) -> int:
        """Of how many models' answers it speaks."""
        return len(self.predictor.means)

    def predict(self, prompts: Sequence[str], answers: Sequence[str]) -> Values:
        """Expected scores, a row a prompt and a column a model."""
        marks = _marked(prompts, answers, self.centre, self.scale)
        return self.predictor.predict(
            np.concatenate([self.asked.points(prompts), self.said.points(answers), marks], axis=1)
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, some megabytes: arrays are compressed and written as base64."""
        return {
            "form": FORM,
            "asked": self.asked.as_dict(),
            "said": self.said.as_dict(),
            "centre": packed(self.centre, "<f4"),
            "scale": packed(self.scale, "<f4"),
            "predictor": self.predictor.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AnswerScorer:
        """The scorer that `as_dict` wrote.

        Raises:
            UsageError: It is of another form or damaged.
        """
        if not isinstance(data, Mapping) or data.get("form") != FORM:
            raise UsageError("the scorer of answers is of another form", hint="Calibrate again")
        try:
            asked, said = (Space.from_dict(data[name]) for name in ("asked", "said"))
            centre, scale = (unpacked(data[name]) for name in ("centre", "scale"))
            predictor = Predictor.from_dict(data["predictor"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError("the scorer of answers is damaged", hint="Calibrate again") from error
        inputs = asked.size + said.size + ANSWER_MARKS
        fits = centre.shape == scale.shape == (ANSWER_MARKS,)
        sound = np.isfinite(centre).all() and np.isfinite(scale).all() and (scale > 0).all()
        if not fits or not sound or predictor.slopes.shape[1] != inputs:
            raise UsageError("the scorer of answers is damaged", hint="Calibrate again")
        return cls(asked=asked, said=said, centre=centre, scale=scale, predictor=predictor)


def fit_answer_scorer(
    prompts: Sequence[str], answers: Sequence[str], scores: Values, *, seed: int = 0
) -> tuple[AnswerScorer, Values]:
    """Fit a scorer of one model's answers, and what it would have said of rows not seen.

    Args:
        prompts: What was asked.
        answers: What the drafting model answered.
        scores: What every model's answer was worth, rows by models, complete.
        seed: Of what is drawn at random.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    asked, before = fit_space(prompts, seed=seed)
    said, after = fit_space(answers, seed=seed)
    marks = np.stack([answer_marks(*both) for both in zip(prompts, answers, strict=True)])
    centre, scale = marks.mean(axis=0), np.maximum(marks.std(axis=0), 1e-4)
    rows = np.concatenate([before, after, np.clip((marks - centre) / scale, -_FAR, _FAR)], axis=1)
    predictor, held_out = fit_predictor(rows, scores, seed=seed)
    scorer = AnswerScorer(asked=asked, said=said, centre=centre, scale=scale, predictor=predictor)
    return scorer, held_out


def _marked(
    prompts: Sequence[str],
    answers: Sequence[str],
    centre: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    if not prompts:
        return np.empty((0, len(centre)), np.float32)
    marks = np.stack([answer_marks(*both) for both in zip(prompts, answers, strict=True)])
    scaled: NDArray[np.float32] = np.clip((marks - centre) / scale, -_FAR, _FAR)
    return scaled
