"""Questions about unseen pictures, and the marks for their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scripts.shapes.pictures import make_picture
from scripts.shapes.questions import KINDS, Question, questions

TEST_SEED = 2_000_003
"""Of pictures that neither training nor validation draws."""


@dataclass(frozen=True)
class Exam:
    """One question about one picture."""

    question: Question
    image: Image.Image


@dataclass(frozen=True)
class Report:
    """What came of an evaluation.

    Attributes:
        asked: Questions a kind.
        right: Of them, how many were answered word for word.
        answers: Every answer, in the order of the exams.
    """

    asked: dict[str, int]
    right: dict[str, int]
    answers: list[str]

    @property
    def accuracy(self) -> float:
        """Share of right answers, all kinds together."""
        return sum(self.right.values()) / max(1, sum(self.asked.values()))


def exams(count: int, seed: int = TEST_SEED) -> Iterator[Exam]:
    """`count` pictures with a question each, the kinds in turn."""
    kinds = [*KINDS]
    found = index = 0
    while found < count:
        picture = make_picture(seed, index)
        asked = {
            q.kind: q for q in questions(picture.scene, np.random.default_rng([seed, index, 2]))
        }
        index += 1
        if (question := asked.get(kinds[found % len(kinds)])) is not None:
            found += 1
            yield Exam(question, picture.image)


def marked(given: list[Exam], answers: list[str]) -> Report:
    """How many of `answers` are right."""
    asked, right = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for exam, answer in zip(given, answers, strict=True):
        asked[exam.question.kind] += 1
        right[exam.question.kind] += answer.strip() == exam.question.answer
    return Report(asked, right, answers)
