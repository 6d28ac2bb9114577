"""What can be told of answers after generation, fitted on the user's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.route.calibration.logprobs import LogprobModel, fit_logprobs
from pilotage.route.calibration.rows import Row
from pilotage.route.calibration.scale import Scale, fit_scale
from pilotage.route.calibration.simulate import logits
from pilotage.route.calibration.table import Array, Places
from pilotage.route.estimators.answer_scorer import AnswerScorer, fit_answer_scorer

_LEAST: Final = 20
"""Answers with log-probabilities or a judge's score that a model of them needs."""

_LEAST_TEXTS: Final = 60
"""Answers that a scorer needs: it has hundreds of inputs."""

_MOST_SCORERS: Final = 6
"""Of the cheapest tiers, whose drafts are the ones to read: a scorer takes up to 16 MB of the
calibration's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Log-odds that every answer is good, shape (n, m) each; NaN where nothing is said.

    Attributes:
        sure: By its log-probabilities.
        scored: By its text; of rows that the scorers were fitted on as if they had not seen them.
        judged: By a judge's score.
    """

    sure: Array
    scored: Array
    judged: Array


class Signals:
    """What is known of answers after generation.

    Args:
        rows: The data.
        fit: Places of the rows to fit on.
        tiers: From the cheapest to the best. Nothing needs to be known of the last one's answers:
            they are always taken.
        quality: Of all answers, rows by tiers.

    Attributes:
        logprobs: By tier.
        scorer: By tier; each speaks of all tiers, in their order.
        judge: By tier.
    """

    def __init__(
        self, rows: Sequence[Row], fit: Places, tiers: tuple[str, ...], quality: Array
    ) -> None:
        self.logprobs: dict[str, LogprobModel] = {}
        self.scorer: dict[str, AnswerScorer] = {}
        self.judge: dict[str, Scale] = {}
        self._names = tiers
        self._held_out: dict[str, dict[int, float]] = {}
        for place, tier in enumerate(tiers[:-1]):
            with_logprobs = [row for row in fit if rows[row].logprobs.get(tier)]
            if len(with_logprobs) >= _LEAST:
                answers = [
                    (rows[row].logprobs[tier], rows[row].usage(tier, 0).completion_tokens)
                    for row in with_logprobs
                ]
                self.logprobs[tier] = fit_logprobs(answers, quality[with_logprobs, place])
            with_judge = [row for row in fit if tier in rows[row].judge]
            if len(with_judge) >= _LEAST:
                scores = np.array([rows[row].judge[tier] for row in with_judge])
                self.judge[tier] = fit_scale(scores, quality[with_judge, place])
            with_text = [int(row) for row in fit if _text(rows[row], tier)]
            if len(with_text) >= _LEAST_TEXTS and len(self.scorer) < _MOST_SCORERS:
                self.scorer[tier], held_out = fit_answer_scorer(
                    [rows[row].prompt for row in with_text],
                    [rows[row].answers[tier] for row in with_text],
                    quality[with_text],
                )
                self._held_out[tier] = dict(zip(with_text, held_out[:, place], strict=True))

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the verifiers that have something to say."""
        fitted = {"logprobs": self.logprobs, "scorer": self.scorer, "judge": self.judge}
        return tuple(name for name, models in fitted.items() if models)

    @property
    def tiers(self) -> frozenset[str]:
        """Tiers whose answers something can be said of."""
        return frozenset({*self.logprobs, *self.scorer, *self.judge})

    def log_odds(self, rows: Sequence[Row]) -> Said:
        """What is said of every answer of the rows that it was made with."""
        shape = (len(rows), len(self._names))
        sure, scored, judged = (np.full(shape, np.nan) for _ in range(3))
        for column, tier in enumerate(self._names):
            model, scale = self.logprobs.get(tier), self.judge.get(tier)
            for place, row in enumerate(rows):
                told = row.logprobs.get(tier)
                if model is not None and told:
                    tokens = row.usage(tier, 0).completion_tokens
                    sure[place, column] = model.score(told, tokens)
                if scale is not None and tier in row.judge:
                    judged[place, column] = scale.apply(row.judge[tier])
            self._read(rows, column, scored)
        return Said(sure=logits(sure), scored=logits(scored), judged=logits(judged))

    def _read(self, rows: Sequence[Row], column: int, scored: Array) -> None:
        """Have the scorer of a tier read all its answers."""
        tier = self._names[column]
        scorer, seen = self.scorer.get(tier), self._held_out.get(tier, {})
        if scorer is None:
            return
        for place, value in seen.items():
            scored[place, column] = value
        unseen = [place for place, row in enumerate(rows) if place not in seen and _text(row, tier)]
        scored[unseen, column] = scorer.predict(
            [rows[place].prompt for place in unseen],
            [rows[place].answers[tier] for place in unseen],
        )[:, column]


def _text(row: Row, tier: str) -> str:
    """The answer, if there is anything to read in it."""
    return row.answers.get(tier, "").strip()
