"""The highest rate that holds: doubled until it breaks, then the gap halved until it is small."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pilotage.errors import UsageError
from pilotage.prove.result import Capacity, Step
from pilotage.units import format_rate

_MOST_STEPS: Final = 40
_SHOWN_DIGITS: Final = 3


@dataclass(frozen=True)
class Bounds:
    """Between which rates to look, and how closely.

    Attributes:
        first: Rate to begin with, requests a second.
        lowest: Below it the search gives up.
        highest: Above it the search does not go.
        precision: The search ends when the lowest rate that broke is at most this share above the
            highest that held.
    """

    first: float
    lowest: float
    highest: float
    precision: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= self.first <= self.highest < math.inf:
            raise UsageError(
                "the search needs rates with 0 < lowest ≤ first ≤ highest, got "
                f"{self.lowest:g}, {self.first:g} and {self.highest:g}"
            )
        if not 0.001 <= self.precision <= 1:
            raise UsageError(f"the precision should be from 0.001 to 1, got {self.precision:g}")


async def find_capacity(attempt: Callable[[float], Awaitable[Step]], bounds: Bounds) -> Capacity:
    """The highest rate within ``bounds`` that holds.

    Geometric bisection: rates are compared as ratios, so a capacity of 2/s and one of 2,000/s take
    as many steps. It takes what it is told of each rate as the truth of it; near the capacity a
    second search may land on the other side.

    Args:
        attempt: Tries a rate.
        bounds: Where to look.
    """
    steps: list[Step] = []
    held: float | None = None
    broken: float | None = None
    rate: float | None = bounds.first
    while rate is not None and len(steps) < _MOST_STEPS:
        step = await attempt(rate)
        steps.append(step)
        if not step.valid:
            break
        if step.holds:
            held = rate if held is None else max(held, rate)
        else:
            broken = rate if broken is None else min(broken, rate)
        rate = _next(held, broken, bounds)
    return Capacity(
        rate=held,
        broken_at=broken,
        steps=tuple(steps),
        sentence=_sentence(held, broken, steps, bounds),
    )


def _next(held: float | None, broken: float | None, bounds: Bounds) -> float | None:
    """The rate to try next; None when there is nothing more to learn."""
    if held is None and broken is not None:
        return max(bounds.lowest, broken / 2) if broken > bounds.lowest else None
    if broken is None and held is not None:
        return min(bounds.highest, held * 2) if held < bounds.highest else None
    if held is None or broken is None or broken <= held * (1 + bounds.precision):
        return None
    # Two digits more than the precision asks for: nobody wants to read 12.0710678/s.
    middle = math.sqrt(held * broken)
    shown = float(f"{middle:.4g}")
    return shown if held < shown < broken else middle


def _sentence(held: float | None, broken: float | None, steps: list[Step], bounds: Bounds) -> str:
    def shown(rate: float) -> str:
        return format_rate(rate, digits=_SHOWN_DIGITS)

    last = steps[-1]
    if not last.valid:
        return f"the client, not the server, was the limit at {shown(last.rate)}" + (
            f"; {shown(held)} held" if held else ""
        )
    if held is None:
        return f"not even {shown(bounds.lowest)} holds"
    if broken is None:
        return f"{shown(held)} holds, and the search was not to go higher"
    return f"{shown(held)} holds, {shown(broken)} does not"
