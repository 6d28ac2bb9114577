"""A way of choosing models at all its settings, as it came out on the test file's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pilotage.route.evaluation.curve import Curve, joined_curve, upper_hull

Values = NDArray[np.float64]
Kind = Literal["single", "reference", "baseline", "policy", "variant", "oracle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What the rows' answers cost and were worth.

    Attributes:
        costs: US dollars, rows by models.
        scores: Rows by models.
    """

    costs: Values
    scores: Values

    @property
    def cheapest(self) -> int:
        """The model of the least mean cost."""
        return int(self.costs.mean(axis=0).argmin())

    @property
    def dearest(self) -> int:
        """The model of the greatest mean cost."""
        return int(self.costs.mean(axis=0).argmax())

    @property
    def best(self) -> int:
        """The model of the greatest mean score, the cheaper of two alike."""
        return int(np.lexsort((self.costs.mean(axis=0), -self.scores.mean(axis=0)))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Settings by rows.

    Attributes:
        name: What it is called in tables.
        kind: A single model, something to compare with, one of ours, one of ours made worse on
            purpose for comparison with other work, or the best there could be.
        costs: US dollars, everything counted.
        scores: The given answer's score.
        big: Whether the best single model was called.
        hindsight: Whether its curve is the hull of all settings, chosen on these very rows; ours
            are joined as they were chosen on the fit file.
    """

    name: str
    kind: Kind
    costs: Values
    scores: Values
    big: Values
    hindsight: bool

    def curve(self, costs: Values, scores: Values) -> Curve:
        """The curve through its settings' mean costs and scores."""
        return upper_hull(costs, scores) if self.hindsight else joined_curve(costs, scores)


def sweep_of(
    name: str,
    kind: Kind,
    outcomes: Outcomes,
    choices: NDArray[np.int64],
    *,
    extra: float = 0.0,
    hindsight: bool = True,
) -> Sweep:
    """The sweep of choices of models, settings by rows; the cheapest model alone is added.

    Args:
        name: As in `Sweep`.
        kind: Likewise.
        outcomes: Of the test file.
        choices: Which model answers.
        extra: US dollars that every choice costs, such as the classifier's.
        hindsight: As in `Sweep`.
    """
    rows = np.arange(choices.shape[1])
    costs, scores = outcomes.costs[rows, choices] + extra, outcomes.scores[rows, choices]
    return anchored(
        Sweep(
            name=name,
            kind=kind,
            costs=costs,
            scores=scores,
            big=(choices == outcomes.best).astype(np.float64),
            hindsight=hindsight,
        ),
        outcomes,
    )


def anchored(sweep: Sweep, outcomes: Outcomes) -> Sweep:
    """A sweep with a setting more: the cheapest model alone, and nothing else paid for."""
    cheapest = outcomes.cheapest
    big = np.full((1, len(outcomes.costs)), float(cheapest == outcomes.best))
    return Sweep(
        name=sweep.name,
        kind=sweep.kind,
        costs=np.concatenate([outcomes.costs[None, :, cheapest], sweep.costs]),
        scores=np.concatenate([outcomes.scores[None, :, cheapest], sweep.scores]),
        big=np.concatenate([big, sweep.big]),
        hindsight=sweep.hindsight,
    )
