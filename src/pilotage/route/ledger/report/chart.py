"""The chart of a report: dollars a day, one bar a day, one colour a tier."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from pilotage.plan.report.svg import Scale, element, joined
from pilotage.route.ledger.report.figures import usd
from pilotage.route.ledger.report.result import DayLine, Report

_WIDTH: Final = 880
_HEIGHT: Final = 300
_LEFT: Final = 76.0
_TOP: Final = 14.0
_BOTTOM: Final = 262.0
_TONES: Final = 8
_DATES: Final = 10


def day_chart(report: Report) -> Markup:
    """Spend by day and tier as SVG; its colours are classes ``s1`` to ``s8``."""
    days = report.by_day
    most = max((float(one.cost) for one in days), default=0.0) or 1.0
    scale = Scale(0.0, most * 1.05, _BOTTOM, _TOP)
    step = (_WIDTH - _LEFT) / len(days)
    tones = tones_of(report)
    parts = [_level(value, scale(value)) for value in scale.ticks(5)]
    parts += [_bar(one, _LEFT + place * step, step, scale, tones) for place, one in enumerate(days)]
    every = -(-len(days) // _DATES)
    parts += [
        element(
            "text",
            f"{one.day:%d %b}",
            x=_LEFT + (place + 0.5) * step,
            y=_BOTTOM + 20,
            text_anchor="middle",
        )
        for place, one in enumerate(days)
        if place % every == 0
    ]
    return element(
        "svg",
        joined(parts),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label="US dollars a day by tier; the table below has the same figures",
    )


def tones_of(report: Report) -> dict[str, str]:
    """The colour class of each tier, the dearest first."""
    return {line.name: f"s{place % _TONES + 1}" for place, line in enumerate(report.by_tier)}


def _level(value: float, y: float) -> Markup:
    line = element("line", x1=_LEFT, x2=_WIDTH, y1=y, y2=y, class_="grid")
    text = element("text", f"${value:g}", x=_LEFT - 10, y=y + 4, text_anchor="end")
    return joined([line, text])


def _bar(one: DayLine, x: float, step: float, scale: Scale, tones: dict[str, str]) -> Markup:
    lines = [f"{one.day:%Y-%m-%d}: {usd(one.cost)}, {one.requests:,} requests"]
    shapes, below = [], 0.0
    for tier, tone in tones.items():
        cost = float(one.by_tier.get(tier, 0))
        if cost <= 0:
            continue
        lines.append(f"{tier}: {usd(one.by_tier[tier])}")
        top, bottom = scale(below + cost), scale(below)
        shapes.append(
            element(
                "rect",
                x=x + step * 0.1,
                y=top,
                width=step * 0.8,
                height=max(bottom - top, 0.5),
                class_=tone,
            )
        )
        below += cost
    return element("g", joined([element("title", "\n".join(lines)), *shapes]))
