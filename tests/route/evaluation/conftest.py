"""A file of scores as a benchmark would leave it: easy and hard questions, and two models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pilotage.route.evaluation import Matrix

MakeMatrix = Callable[..., Matrix]


@pytest.fixture(scope="session")
def make_matrix() -> MakeMatrix:
    """Makes a matrix of two models, of which the small one is good at questions about colours."""

    def make(rows: int, seed: int, *, answers: bool = False, noise: bool = False) -> Matrix:
        drawn = np.random.default_rng(seed)
        hard = drawn.random(rows) < 0.5
        things = ("cat", "boat", "tree", "house", "stone")
        prompts = [
            f"Prove lemma {seed}{number} about the integral of {things[number % 5]}."
            if one
            else f"Which colour has the {things[number % 5]} in story {seed}{number}?"
            for number, one in enumerate(hard)
        ]
        if noise:
            prompts = [f"Question {seed} {number}" for number in range(rows)]
        small = drawn.random(rows) < np.where(hard, 0.15, 0.9)
        big = drawn.random(rows) < np.where(hard, 0.8, 0.92)
        texts = tuple("It is so." if one else "I am unsure, sorry." for one in small)
        return Matrix(
            source=f"{seed}.csv",
            models=("small", "big"),
            prompts=tuple(prompts),
            scores=np.stack([small, big], axis=1).astype(float),
            answers=(texts, ("It is so, and here is why.",) * rows) if answers else (None, None),
        )

    return make
