"""After a draft: how good it is, and how good the other models' answers would be.

The counterpart of the classifier once an answer is there, from its text and the prompt's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.route.estimators.answer_marks import answer_marks
from pilotage.route.estimators.predictor import Predictor, fit_predictor
from pilotage.route.estimators.space import Space, fit_space

Values = NDArray[np.float64]

_FAR = 5.0


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

    def predict(self, prompts: Sequence[str], answers: Sequence[str]) -> Values:
        """Expected scores, a row a prompt and a column a model."""
        marks = _marked(prompts, answers, self.centre, self.scale)
        return self.predictor.predict(
            np.concatenate([self.asked.points(prompts), self.said.points(answers), marks], axis=1)
        )


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
