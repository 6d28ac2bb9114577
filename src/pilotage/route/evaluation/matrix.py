"""What several models' answers to the same prompts were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.evaluation.names import find_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Prompts and every model's score on each.

    Attributes:
        source: Where it was read, for messages.
        models: Names of the models, a column each.
        prompts: What was asked, a row each.
        scores: Rows by models, 0 to 1; NaN where it is not known.
        answers: The models' answers in the order of `models`, each with a text a prompt; nothing
            for a model whose answers are not in the file.
    """

    source: str
    models: tuple[str, ...]
    prompts: tuple[str, ...]
    scores: NDArray[np.float64]
    answers: tuple[tuple[str, ...] | None, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    def rows(self, chosen: Sequence[int] | NDArray[np.int64]) -> Matrix:
        """The matrix of some rows."""
        places = [int(row) for row in chosen]
        return Matrix(
            source=self.source,
            models=self.models,
            prompts=tuple(self.prompts[row] for row in places),
            scores=self.scores[places],
            answers=tuple(
                tuple(texts[row] for row in places) if texts is not None else None
                for texts in self.answers
            ),
        )

    def only(self, models: Sequence[str]) -> Matrix:
        """The matrix of some models, in that order, whatever they are called in this one.

        Raises:
            UsageError: One of them is not here.
        """
        places = []
        for model in models:
            found = find_name(model, self.models)
            if found is None:
                raise UsageError(
                    f"there are no scores of the model {model!r}",
                    where=self.source,
                    hint=f"It has {', '.join(self.models)}",
                )
            places.append(self.models.index(found))
        return Matrix(
            source=self.source,
            models=tuple(models),
            prompts=self.prompts,
            scores=self.scores[:, places],
            answers=tuple(self.answers[place] for place in places),
        )

    def complete(self) -> Matrix:
        """The rows on which every model's score is known."""
        return self.rows(np.flatnonzero(np.isfinite(self.scores).all(axis=1)))

    def without(self, other: Matrix) -> Matrix:
        """The rows whose prompts are not in another matrix."""
        seen = {prompt.strip() for prompt in other.prompts}
        return self.rows(
            [row for row, prompt in enumerate(self.prompts) if prompt.strip() not in seen]
        )


def shared_models(fit: Matrix, test: Matrix) -> tuple[str, ...]:
    """Models of ``test`` that ``fit`` knows too, each once.

    Raises:
        UsageError: There are fewer than two: nothing to choose among.
    """
    shared: list[str] = []
    taken: set[str] = set()
    for model in test.models:
        found = find_name(model, fit.models)
        if found is not None and found not in taken:
            taken.add(found)
            shared.append(model)
    if len(shared) < 2:
        raise UsageError(
            f"the two files share {len(shared)} models, and a choice needs two",
            where=test.source,
            hint=f"{fit.source} has {', '.join(fit.models)}; this has {', '.join(test.models)}",
        )
    return tuple(shared)
