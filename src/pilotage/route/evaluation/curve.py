"""Curves of quality against cost: upper hulls, areas, and what a quality costs.

A policy is a cloud of operating points (mean cost, mean quality), one a setting. Any two can be
mixed at random by query, so that everything beneath the cloud's upper hull is within reach, and
so is spending less than one may: the curve goes on flat to the right. The area is the curve's mean
height between two costs, those of the cheapest and of the dearest single model; it is therefore a
quality itself, the expected one if the budget is any amount between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Vertices of a curve.

    Attributes:
        cost: Mean US dollars a query, ascending.
        quality: Mean score.
        place: Which point of the cloud each vertex is.
    """

    cost: Values
    quality: Values
    place: NDArray[np.int64]

    def at(self, budget: Values) -> Values:
        """Quality at budgets; at less than the curve begins with, what it begins with."""
        return np.interp(budget, self.cost, self.quality)

    def area(self, low: float, high: float) -> float:
        """Mean height between two costs, exact: the curve is straight between vertices."""
        if high <= low:
            return float(self.at(np.array([low]))[0])
        inner = self.cost[(self.cost > low) & (self.cost < high)]
        budgets = np.concatenate([[low], inner, [high]])
        return float(np.trapezoid(self.at(budgets), budgets) / (high - low))

    def mix_at(self, quality: float) -> tuple[int, int, float] | None:
        """The cheapest mix of two neighbouring vertices of a quality.

        Two places and the share of the second; nothing if the curve does not reach it.
        """
        reached = np.flatnonzero(self.quality >= quality - 1e-12)
        if not len(reached):
            return None
        right = int(reached[0])
        if right == 0:
            return int(self.place[0]), int(self.place[0]), 0.0
        low, high = float(self.quality[right - 1]), float(self.quality[right])
        share = min(1.0, max(0.0, (quality - low) / (high - low)))
        return int(self.place[right - 1]), int(self.place[right]), share


def upper_hull(cost: Values, quality: Values) -> Curve:
    """The upper left hull of a cloud: Andrew's monotone chain, ascending points only."""
    kept: list[int] = []
    for place in np.lexsort((-quality, cost)):
        if kept and quality[place] <= quality[kept[-1]]:
            continue
        while len(kept) > 1 and _beneath(cost, quality, kept[-2], kept[-1], place):
            kept.pop()
        kept.append(int(place))
    places = np.array(kept, np.int64)
    return Curve(cost[places], quality[places], places)


def joined_curve(cost: Values, quality: Values) -> Curve:
    """Points joined in the order of their costs, as they are: nothing chosen with hindsight."""
    order = np.lexsort((quality, cost)).astype(np.int64)
    return Curve(cost[order], quality[order], order)


def _beneath(cost: Values, quality: Values, first: int, middle: int, last: int) -> bool:
    """Whether the middle point lies on or under the line through the other two."""
    rise = (quality[last] - quality[first]) * (cost[middle] - cost[first])
    return bool((quality[middle] - quality[first]) * (cost[last] - cost[first]) <= rise)
