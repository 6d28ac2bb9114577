"""Which value of money meets the user's goal, and which policy does it best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.route.calibration.simulate import Replay

_DECADES: Final = 6
_STEPS: Final = 61


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The goal in floats.

    Attributes:
        quality: Mean quality that is enough.
        usd: Most US dollars a request on average; infinite without a budget.
    """

    quality: float
    usd: float

    def best(self, points: Sequence[tuple[float, float]]) -> int:
        """The place of the (quality, US dollars) point to take.

        Among those within the budget the cheapest of enough quality; if none has enough, the best
        one. If none is within the budget, the cheapest of all.
        """
        within = [i for i, (_, usd) in enumerate(points) if usd <= self.usd]
        if not within:
            return min(range(len(points)), key=lambda i: (points[i][1], -points[i][0]))
        enough = [i for i in within if points[i][0] >= self.quality]
        if enough:
            return min(enough, key=lambda i: (points[i][1], -points[i][0]))
        return max(within, key=lambda i: (points[i][0], -points[i][1]))


def usd_weights(expected_usd: float) -> list[float]:
    """Candidates for λ: 0, and around one unit of quality for what a dear answer costs.

    Args:
        expected_usd: Mean cost of the dearest tier's answers.
    """
    if expected_usd <= 0:
        return [0.0]
    scale = np.logspace(-_DECADES / 2 - 1, _DECADES / 2 - 1, _STEPS)
    return [0.0, *(float(value) for value in scale / expected_usd)]


def choose_usd_weight(
    replayed: Callable[[float], Replay], candidates: Sequence[float], wanted: Wanted
) -> float:
    """The λ that meets the goal on the rows that are replayed."""
    return candidates[wanted.best([replayed(weight).point for weight in candidates])]
