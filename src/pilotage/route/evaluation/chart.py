"""The chart of an evaluation: every curve of quality against cost, single models as points."""

from __future__ import annotations

from typing import Final

import numpy as np
from markupsafe import Markup

from pilotage.plan.report.svg import (
    Scale,
    cross,
    element,
    figure,
    joined,
    key_entry,
    mark,
    path,
)
from pilotage.route.evaluation.evaluation import Evaluation
from pilotage.route.evaluation.measure import Measured
from pilotage.units import printable

_WIDTH, _HEIGHT, _LEFT, _TOP, _FOOT = 980, 460, 56, 24, 48
_TONES: Final = {
    "oracle": "s2",
    "linear mix": "muted",
    "static": "s3",
    "nearest neighbours": "s8",
    "judge cascade": "s6",
    "router": "s1",
    "router by calls": "s7",
    "cascade routing": "s5",
}


def quality_chart(found: Evaluation) -> Markup:
    """The chart with its key; cost in US dollars a thousand queries."""
    curves = [one for one in found.measured if one.kind != "single"]
    singles = [one for one in found.measured if one.kind == "single"]
    # A policy may spend more than any single model, but the room is for what may be compared.
    most = max(_own(one)[0] for one in singles) * 1.08
    worth = [_own(one)[1] for one in singles]
    worth += [float(one.curve.quality.max()) for one in curves]
    x = Scale(0.0, most, _LEFT, _WIDTH - 16)
    y = Scale(max(0.0, min(worth) - 0.03), min(1.0, max(worth) + 0.02), _HEIGHT - _FOOT, _TOP)
    parts = [_axes(x, y)]
    parts += [path(_line(one, x, y, most), _style(one)) for one in curves]
    for one in curves:
        parts += [
            mark(
                _tip(one.name, cost, quality), x(cost), y(quality), [_dot(x(cost), y(quality), one)]
            )
            for cost, quality in _points(one)
            if cost <= most
        ]
    for one in singles:
        cost, quality = _own(one)
        shapes = [cross(x(cost), y(quality), "muted")]
        parts.append(mark(_tip(one.name, cost, quality), x(cost), y(quality), shapes))
    drawn = figure("quality", "Quality against cost", _WIDTH, _HEIGHT, parts)
    keys = [key_entry(_TONES.get(one.name, "free"), one.name) for one in curves]
    saltire = element("span", "\N{MULTIPLICATION X}", class_="saltire", aria_hidden="true")
    keys.append(element("li", joined([saltire, Markup("a single model")])))
    return joined([drawn, element("ul", joined(keys), class_="key")])


def _own(one: Measured) -> tuple[float, float]:
    """A single model's own cost and quality, which its curve leaves out where mixing is better."""
    return one.alone[0] * 1000, one.alone[1]


def _points(one: Measured) -> list[tuple[float, float]]:
    pairs = zip(one.curve.cost.tolist(), one.curve.quality.tolist(), strict=True)
    return [(cost * 1000, quality) for cost, quality in pairs]


def _line(one: Measured, x: Scale, y: Scale, most: float) -> list[tuple[float, float]]:
    """The curve, level from its end on: one need not spend all that one may."""
    points = [(cost, quality) for cost, quality in _points(one) if cost < most]
    points.append((most, float(one.curve.at(np.array([most / 1000]))[0])))
    return [(x(cost), y(quality)) for cost, quality in points]


def _style(one: Measured) -> str:
    dashed = "" if one.kind == "policy" else " dashed"
    return f"line {_TONES.get(one.name, 'free')}{dashed}"


def _dot(x: float, y: float, one: Measured) -> Markup:
    size = 3.5 if one.kind == "policy" else 2.0
    return element("circle", cx=x, cy=y, r=size, class_=f"dot {_TONES.get(one.name, 'free')}")


def _tip(name: str, cost: float, quality: float) -> list[str]:
    return [printable(name), f"quality {quality:.1%}", f"{cost:.4g} USD a 1,000 queries"]


def _axes(x: Scale, y: Scale) -> Markup:
    parts = []
    for tick in y.ticks(7):
        at = y(tick)
        parts.append(element("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="rule"))
        shown = f"{tick:.1%}".replace(".0%", "%")
        parts.append(element("text", shown, x=x.start - 8, y=at + 4, text_anchor="end"))
    for tick in x.ticks(9):
        at = x(tick)
        parts.append(element("line", x1=at, x2=at, y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(element("text", f"{tick:.4g}", x=at, y=y.start + 18, text_anchor="middle"))
    parts.append(element("text", "USD a 1,000 queries", x=x.end, y=y.start + 38, text_anchor="end"))
    parts.append(element("text", "quality", x=0, y=11))
    return joined(parts)
