"""From a judge's scores to expected quality: a step function or Platt's curve."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING, Final

import msgspec

from pilotage.route.calibration.logistic import Logistic, fit_logistic, log_odds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ISOTONIC_FROM: Final = 1000
"""Rows from which isotonic regression is the better of the two; below it overfits (Niculescu-Mizil
and Caruana, "Predicting Good Probabilities with Supervised Learning", ICML 2005)."""

_INPUTS: Final = ("log_odds",)


class Platt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="platt"):
    """A logistic of the score's log-odds (Platt, 1999, on the log-odds of a share).

    Attributes:
        logistic: Of one input.
    """

    logistic: Logistic

    def __post_init__(self) -> None:
        if self.logistic.inputs != _INPUTS:
            raise ValueError("a Platt curve has the log-odds for its one input")

    def apply(self, score: float) -> float:
        """Expected quality, 0 to 1, of an answer that was scored so, 0 to 1."""
        return self.logistic.probability([log_odds(score)])


class Isotonic(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="isotonic"
):
    """Expected quality that never falls as the score rises, linear between its knots.

    Attributes:
        scores: Ascending, no two alike.
        quality: At each of them, never falling.
    """

    scores: tuple[float, ...]
    quality: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.quality):
            raise ValueError("an isotonic scale needs as many qualities as scores")
        if not all(map(math.isfinite, self.scores)) or not all(0 <= q <= 1 for q in self.quality):
            raise ValueError("an isotonic scale goes from finite scores to qualities of 0 to 1")
        if any(a >= b for a, b in zip(self.scores, self.scores[1:], strict=False)) or any(
            a > b for a, b in zip(self.quality, self.quality[1:], strict=False)
        ):
            raise ValueError("an isotonic scale should rise")

    def apply(self, score: float) -> float:
        """Expected quality, 0 to 1, of an answer that was scored so, 0 to 1."""
        above = bisect.bisect_left(self.scores, score)
        if above == 0:
            return self.quality[0]
        if above == len(self.scores):
            return self.quality[-1]
        low, high = self.scores[above - 1], self.scores[above]
        share = (score - low) / (high - low)
        return self.quality[above - 1] + share * (self.quality[above] - self.quality[above - 1])


Scale = Platt | Isotonic
"""Either; both have ``apply``."""


def fit_scale(scores: NDArray[np.float64], quality: NDArray[np.float64]) -> Scale:
    """The scale for a judge's scores: Platt's for few rows, isotonic for a thousand and more.

    Args:
        scores: Of the judge, 0 to 1.
        quality: Of the same answers, 0 to 1.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.optimize import isotonic_regression  # noqa: PLC0415

    if len(scores) < _ISOTONIC_FROM:
        x = np.array([[log_odds(float(score))] for score in scores])
        return Platt(logistic=fit_logistic(_INPUTS, x, quality, rising=True))
    knots, where, often = np.unique(scores, return_inverse=True, return_counts=True)
    mean = np.bincount(where, weights=quality) / often
    fitted = np.clip(isotonic_regression(mean, weights=often).x, 0.0, 1.0)
    # Inside a level stretch the ends say it all.
    level = np.zeros(len(knots), bool)
    level[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    kept = ~level
    rising = np.maximum.accumulate(fitted[kept])
    return Isotonic(scores=tuple(map(float, knots[kept])), quality=tuple(map(float, rising)))
