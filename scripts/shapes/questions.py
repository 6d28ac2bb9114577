"""Questions about a scene, in several wordings each, and their short answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scripts.shapes.scene import Figure, Scene


@dataclass(frozen=True)
class Question:
    """A question and its one right answer.

    Attributes:
        kind: A key of `KINDS`.
        text: The question, a sentence.
        answer: One to a few words, lower case, such as ``top left``.
    """

    kind: str
    text: str
    answer: str


_Asker = Callable[[Scene, np.random.Generator], "Question | None"]

_REGIONS = {
    "on the left": lambda s, f: s.columns == 2 and f.column == 0,
    "on the right": lambda s, f: s.columns == 2 and f.column == 1,
    "at the top": lambda s, f: s.rows == 2 and f.row == 0,
    "at the bottom": lambda s, f: s.rows == 2 and f.row == 1,
    "at the top left": lambda s, f: s.place(f) == "top left",
    "at the top right": lambda s, f: s.place(f) == "top right",
    "at the bottom left": lambda s, f: s.place(f) == "bottom left",
    "at the bottom right": lambda s, f: s.place(f) == "bottom right",
}


def questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """One question of every kind that `scene` can answer, worded at random."""
    asked = (asker(scene, rng) for asker in KINDS.values())
    return [question for question in asked if question is not None]


def _pick(rng: np.random.Generator, wordings: Sequence[str]) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    if scene.digit is not None:
        noun, answer = "digit", scene.digit.colour
    elif len(scene.figures) == 1:
        noun, answer = scene.figures[0].shape, scene.figures[0].colour
    else:
        there = _alone(scene, rng)
        if there is None:
            return None
        noun, answer = f"shape {there[0]}", there[1].colour
    wordings = (
        f"What colour is the {noun}?",
        f"Which colour is the {noun}?",
        f"What is the colour of the {noun}?",
        f"What color is the {noun}?",
        f"Tell me the colour of the {noun}.",
    )
    return Question("colour", _pick(rng, wordings), answer)


def _count(scene: Scene, rng: np.random.Generator) -> Question | None:
    if scene.digit is not None:
        return None
    wordings = (
        "How many shapes are there?",
        "How many shapes do you see?",
        "How many shapes are in the picture?",
        "Count the shapes.",
    )
    return Question("count", _pick(rng, wordings), str(len(scene.figures)))


def _where(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.figures) != 1:
        return None
    figure = scene.figures[0]
    noun = figure.shape if rng.random() < 0.5 else f"{figure.colour} {figure.shape}"
    wordings = (
        f"Where is the {noun}?",
        f"Where do you see the {noun}?",
        f"In which part of the picture is the {noun}?",
        f"What is the position of the {noun}?",
    )
    return Question("where", _pick(rng, wordings), scene.place(figure))


def _alone(scene: Scene, rng: np.random.Generator) -> tuple[str, Figure] | None:
    """A region in which there is one figure, and that figure."""
    alone: list[tuple[str, Figure]] = []
    for place, covers in _REGIONS.items():
        there = [figure for figure in scene.figures if covers(scene, figure)]
        if len(there) == 1:
            alone.append((place, there[0]))
    return alone[int(rng.integers(len(alone)))] if alone else None


def _shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    there = _alone(scene, rng)
    if there is None:
        return None
    place, figure = there
    wordings = (
        f"What shape is {place}?",
        f"Which shape is {place}?",
        f"What is the shape {place}?",
        f"Which shape do you see {place}?",
    )
    return Question("shape", _pick(rng, wordings), figure.shape)


def _digit(scene: Scene, rng: np.random.Generator) -> Question | None:
    if scene.digit is None:
        return None
    wordings = (
        "Which digit is shown?",
        "What digit is this?",
        "Which digit do you see?",
        "What number is in the picture?",
    )
    return Question("digit", _pick(rng, wordings), str(scene.digit.value))


def _describe(scene: Scene, rng: np.random.Generator) -> Question | None:
    wordings = ("What do you see?", "What is in the picture?", "Describe the picture.")
    if scene.digit is not None:
        names = [f"{scene.digit.colour} {scene.digit.value}"]
    else:
        names = [f"{figure.colour} {figure.shape}" for figure in scene.figures]
    articles = [f"a {name}" for name in names]
    head, last = ", ".join(articles[:-1]), articles[-1]
    return Question("describe", _pick(rng, wordings), f"{head} and {last}" if head else last)


KINDS: dict[str, _Asker] = {
    "colour": _colour,
    "count": _count,
    "where": _where,
    "shape": _shape,
    "digit": _digit,
    "describe": _describe,
}
"""What can be asked; each takes a scene and gives nothing when the scene has no one answer."""
