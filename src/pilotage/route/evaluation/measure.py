"""Figures of sweeps: areas, costs at a quality, and intervals by a paired bootstrap.

Every figure is of the test file's rows. The bootstrap draws rows with replacement, the same ones
for all sweeps at a time, and works every figure out anew, the references' included: an interval
is the middle 95 % of what comes out (Efron's percentiles). It says how far the figures would move
with other rows of this kind, the fitted policies staying as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage.route.evaluation.curve import Curve
from pilotage.route.evaluation.sweep import Kind, Outcomes, Sweep

Values = NDArray[np.float64]

KEPT_QUALITY: Final = 0.95
"""Share of the big model's quality at which savings are told, as RouteLLM tells them."""

_IMMATERIAL: Final = 5e-4
"""Quality that is no difference: what the classifier's own cost comes to where it is not needed
is certain, and of no account."""

_BUDGETS: Final = 101
_LEVEL: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its interval; NaN where there is none.

    Attributes:
        value: On all rows.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Figures of one sweep.

    Attributes:
        name: As the sweep's.
        kind: Likewise.
        alone: Cost and quality of its last setting: of a single model, without any mixing.
        curve: Its curve on all rows.
        area: Mean quality over budgets from the cheapest single model's cost to the dearest's.
        gap_closed: (area - linear mix's) / (oracle's - linear mix's).
        matched: Whether it reaches the best single model's quality.
        cost: US dollars a query: a single model's own; of others at the cheapest mix of settings
            that reaches it, and if none does, at the best setting.
        quality: There.
        cost_saved: Share of the best single model's cost saved there; NaN if it is not reached.
        saved_at_95: Share of the big model's cost saved at the cheapest mix of its settings with
            95 % of the big model's quality. NaN if it is not reached.
        calls_saved_at_95: Share of the queries that the big model is not called for there.
        margin: Least height over the linear mix at any budget.
        below_mix: Whether that is below it beyond noise: at some budget the upper end of a
            simultaneous 95 % band of the difference is under -0.0005.
    """

    name: str
    kind: Kind
    alone: tuple[float, float]
    curve: Curve
    area: Figure
    gap_closed: Figure
    matched: bool
    cost: Figure
    quality: float
    cost_saved: Figure
    saved_at_95: Figure
    calls_saved_at_95: Figure
    margin: Figure
    below_mix: bool


@dataclass(frozen=True, slots=True)
class _Once:
    """All figures of one draw of rows, of one sweep."""

    area: float
    gap: float
    cost: float
    quality: float
    cost_saved: float
    saved: float
    calls: float
    heights: Values


def measure(
    sweeps: Sequence[Sweep], outcomes: Outcomes, *, draws: int, seed: int
) -> Mapping[str, Measured]:
    """Figures of sweeps by name.

    Args:
        sweeps: Among them those of kinds "reference" (the linear mix) and "oracle", one each.
        outcomes: Of the rows they were made on.
        draws: Of the bootstrap.
        seed: Likewise.
    """
    count = len(outcomes.costs)
    drawn = np.random.default_rng(seed)
    even = np.full((1, count), 1 / count)
    weights = np.concatenate([even, drawn.multinomial(count, even[0], size=draws) / count])
    means = {
        one.name: (weights @ one.costs.T, weights @ one.scores.T, weights @ one.big.T)
        for one in sweeps
    }
    singles = weights @ outcomes.costs, weights @ outcomes.scores
    every: dict[str, list[_Once]] = {one.name: [] for one in sweeps}
    for draw in range(len(weights)):
        costs, scores = singles[0][draw], singles[1][draw]
        low, high = float(costs.min()), float(costs.max())
        budgets = np.linspace(low, high, _BUDGETS)
        curves = {
            one.name: one.curve(means[one.name][0][draw], means[one.name][1][draw])
            for one in sweeps
        }
        areas = {name: curve.area(low, high) for name, curve in curves.items()}
        mix = next(one.name for one in sweeps if one.kind == "reference")
        best_possible = next(one.name for one in sweeps if one.kind == "oracle")
        room = areas[best_possible] - areas[mix]
        floor = curves[mix].at(budgets)
        big_cost, big_quality = float(costs[outcomes.best]), float(scores[outcomes.best])
        for one in sweeps:
            curve = curves[one.name]
            spent, worth, called = (part[draw] for part in means[one.name])
            matched = _mixed(curve.mix_at(big_quality), spent)
            top = int(curve.place[int(curve.quality.argmax())])
            if one.kind == "single":
                top, matched = len(spent) - 1, math.nan
                if worth[top] >= big_quality:
                    matched = float(spent[top])
            at = _mixed(curve.mix_at(KEPT_QUALITY * big_quality), spent)
            calls = _mixed(curve.mix_at(KEPT_QUALITY * big_quality), called)
            every[one.name].append(
                _Once(
                    area=areas[one.name],
                    gap=(areas[one.name] - areas[mix]) / room if room > 1e-12 else math.nan,
                    cost=matched if math.isfinite(matched) else float(spent[top]),
                    quality=_quality_there(curve, big_quality, float(worth[top]), matched),
                    cost_saved=1 - matched / big_cost,
                    saved=1 - at / big_cost,
                    calls=1 - calls,
                    heights=curve.at(budgets) - floor,
                )
            )
    return {one.name: _figures(one, every[one.name], outcomes, means[one.name]) for one in sweeps}


def _quality_there(curve: Curve, wanted: float, best: float, matched: float) -> float:
    """Quality at the cheapest mix that reaches what is wanted: more, if all of the curve does."""
    return max(wanted, float(curve.quality[0])) if math.isfinite(matched) else best


def _mixed(mix: tuple[int, int, float] | None, values: Values) -> float:
    if mix is None:
        return math.nan
    first, second, share = mix
    return float((1 - share) * values[first] + share * values[second])


def _figures(
    sweep: Sweep, draws: Sequence[_Once], outcomes: Outcomes, means: tuple[Values, Values, Values]
) -> Measured:
    whole = draws[0]
    heights = np.stack([draw.heights for draw in draws])
    return Measured(
        name=sweep.name,
        kind=sweep.kind,
        alone=(float(means[0][0, -1]), float(means[1][0, -1])),
        curve=sweep.curve(means[0][0], means[1][0]),
        area=_figure([draw.area for draw in draws]),
        gap_closed=_figure([draw.gap for draw in draws]),
        matched=math.isfinite(whole.cost_saved),
        cost=_figure([draw.cost for draw in draws]),
        quality=whole.quality,
        cost_saved=_figure([draw.cost_saved for draw in draws]),
        saved_at_95=_figure([draw.saved for draw in draws]),
        calls_saved_at_95=_figure([draw.calls for draw in draws]),
        margin=_figure(list(heights.min(axis=1))),
        below_mix=_below(heights),
    )


def _figure(values: Sequence[float]) -> Figure:
    """The first value, and the interval of the others that are numbers."""
    others = np.array([value for value in values[1:] if math.isfinite(value)])
    if not len(others) or not math.isfinite(values[0]):
        return Figure(float(values[0]), math.nan, math.nan)
    low, high = np.quantile(others, _LEVEL)
    return Figure(float(values[0]), float(low), float(high))


def _below(heights: Values) -> bool:
    """Whether a simultaneous band of the heights is under zero somewhere."""
    whole, others = heights[0], heights[1:]
    if len(others) < 2:
        return bool(whole.min() < 0)
    errors = np.maximum(others.std(axis=0), 1e-9)
    widest = float(np.quantile(np.abs((others - whole) / errors).max(axis=1), 0.95))
    return bool((whole + widest * errors < -_IMMATERIAL).any())
