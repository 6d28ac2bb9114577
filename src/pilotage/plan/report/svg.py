"""The little of SVG that charts need: scales with ticks, and elements with their text escaped.

Charts are drawn here rather than in the reader's browser, so that they print and show without a
script; the script only reads values out of them (``page.js``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Scale:
    """A map from values to pixels.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Pixel.
        end: Pixel.
        kind: "log" gives every factor the same room.
    """

    low: float
    high: float
    start: float
    end: float
    kind: Literal["linear", "log"] = "linear"

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside stay at the ends."""
        low, high = self._at(self.low), self._at(self.high)
        part = (self._at(value) - low) / ((high - low) or 1.0)
        return self.start + min(max(part, 0.0), 1.0) * (self.end - self.start)

    def _at(self, value: float) -> float:
        if self.kind == "linear":
            return value
        return math.log10(max(value, self.low))

    def ticks(self, most: int) -> list[float]:
        """Round values within, about ``most`` of them at most."""
        # Within a decade even steps find more round values than powers of ten do.
        if self.kind == "linear" or self.high / self.low < 10:
            return self._linear_ticks(most)
        return self._log_ticks(most)

    def _linear_ticks(self, most: int) -> list[float]:
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            every = [m * 10.0**power for power in powers for m in steps]
            found = [one for one in every if self.low * 0.999 <= one <= self.high * 1.001]
            if len(found) <= most:
                break
        return found


def around(
    values: Sequence[float], start: float, end: float, kind: Literal["linear", "log"] = "linear"
) -> Scale:
    """A scale that holds all values with a little room; a linear one begins at zero."""
    known = [value for value in values if math.isfinite(value) and (kind == "linear" or value > 0)]
    if not known:
        return Scale(1.0, 10.0, start, end, kind)
    if kind == "linear":
        return Scale(0.0, max(known) * 1.08 or 1.0, start, end)
    return Scale(min(known) / 1.25, max(known) * 1.25, start, end, kind)


def element(name: str, body: str | Markup = "", /, **attributes: str | float) -> Markup:
    """An element; ``class_`` is ``class``, ``text_anchor`` is ``text-anchor``. Text is escaped."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    return Markup(f"{''.join(parts)}>{escape(body)}</{name}>")  # noqa: S704 - escaped above


def joined(parts: Sequence[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("").join(parts)


def mark(
    tip: Sequence[str], x: float, y: float, shapes: Sequence[Markup], name: str = ""
) -> Markup:
    """Shapes that tell something when they are pointed at.

    Args:
        tip: Its lines, the first one the heading.
        x: Where it is, for finding the nearest.
        y: Likewise.
        shapes: What is drawn.
        name: Further classes.
    """
    title = element("title", "\n".join(tip))
    return element(
        "g",
        joined([title, *shapes]),
        class_=f"mark {name}".strip(),
        data_x=float(x),
        data_y=float(y),
    )


def path(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    steps = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return element("path", d=f"M{steps}", class_=class_)


def cross(x: float, y: float, class_: str) -> Markup:
    """A small saltire."""
    return element(
        "path",
        d=f"M{x - 4:.2f} {y - 4:.2f}l8 8M{x + 4:.2f} {y - 4:.2f}l-8 8",
        class_=f"cross {class_}",
    )


def figure(
    name: str, title: str, width: int, height: int, parts: Sequence[Markup], *, by: str = "point"
) -> Markup:
    """A whole chart.

    Args:
        name: For tests and styles.
        title: What it shows, also for those who cannot see it.
        width: In pixels at most; it shrinks with the page.
        height: Likewise.
        parts: What is in it.
        by: How the pointer finds a mark: the nearest "point", or the nearest in "x" alone.
    """
    drawn = element(
        "svg",
        joined(parts),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        tabindex="0",
        aria_label=f"{title}. Arrow keys read the values.",
    )
    scrolling = element("div", drawn, class_="scroll")
    return element("figure", scrolling, class_="chart", data_chart=name, data_by=by)


def key_entry(tone: str, name: str) -> Markup:
    """A line of a chart's key: the colour and what it stands for."""
    return element("li", joined([element("span", class_=f"swatch {tone}"), escape(name)]))
