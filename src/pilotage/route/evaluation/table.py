"""The figures of an evaluation as rows of text, for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.route.evaluation.evaluation import Evaluation
from pilotage.route.evaluation.measure import Figure, Measured
from pilotage.units import printable

HEADS: Final = (
    "",
    "quality",
    "USD a 1,000",
    "saved",
    "saved at 95 %",
    "fewer calls",
    "area",
    "of the gap",
)
"""What stands over the columns; `LEGEND` explains them."""

LEGEND: Final = (
    "quality and USD a 1,000 queries: a single model's own; of the others the cheapest mix of "
    "settings as good as the best single model, or the best setting where none is. saved: of "
    "the best single model's cost, there. saved at 95 %, fewer calls: of its cost and of the "
    "calls of it, at 95 % of its quality. area: mean quality over budgets from the cheapest "
    "single model's cost to the dearest's. of the gap: between the linear mix and the oracle, "
    "in area. Intervals are of 95 %, by a paired bootstrap."
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        value: Its text.
        interval: What stands beside or beneath it, where there is room.
    """

    value: str
    interval: str = ""


def rows(found: Evaluation) -> list[tuple[Cell, ...]]:
    """A row a way of choosing, in the columns of `HEADS`."""
    return [_row(one) for one in found.measured]


def verdict(found: Evaluation) -> str:
    """What it comes to, in a sentence or two."""
    best = found.winner
    below = [one.name for one in found.measured if one.kind == "policy" and one.below_mix]
    said = (
        f"The best policy is {best.name}: it closes {_share(best.gap_closed)} of the gap between "
        f"the linear mix and the oracle, and saves {_share(best.saved_at_95)} of "
        f"{printable(found.best)}'s cost at 95 % of its quality."
    )
    if below:
        return f"{said} Below the linear mix at some budget, beyond noise: {', '.join(below)}."
    if not best.gap_closed.low > 0:
        return f"{said} That is not more than noise: mix single models instead."
    return f"{said} None of ours is below the linear mix at any budget beyond noise."


def heading(found: Evaluation) -> str:
    """What was evaluated on what."""
    return (
        f"{len(found.models)} models, fitted on {found.fit_rows:,} rows of "
        f"{printable(found.fit)}, measured on {found.test_rows:,} of {printable(found.test)}"
    )


def price_lines(found: Evaluation) -> Sequence[str]:
    """Each model's price and who says so."""
    return [
        f"{printable(name)}: {price.input} USD a million tokens of input, {price.output} of "
        f"output ({printable(price.source)})"
        for name, price in zip(found.models, found.prices, strict=True)
    ]


def _row(one: Measured) -> tuple[Cell, ...]:
    return (
        Cell(printable(one.name)),
        Cell(f"{one.quality:.1%}"),
        Cell(f"{one.cost.value * 1000:.4g}"),
        _cell(one.cost_saved),
        _cell(one.saved_at_95),
        _cell(one.calls_saved_at_95),
        Cell(f"{one.area.value:.4f}"),
        _cell(one.gap_closed),
    )


def _cell(figure: Figure) -> Cell:
    if not math.isfinite(figure.value):
        return Cell("–")  # noqa: RUF001 - a dash for no figure
    if not math.isfinite(figure.low) or figure.high - figure.low < 5e-4:
        return Cell(f"{figure.value:.1%}")
    return Cell(f"{figure.value:.1%}", f"{figure.low:.0%} to {figure.high:.0%}")


def _share(figure: Figure) -> str:
    cell = _cell(figure)
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value
