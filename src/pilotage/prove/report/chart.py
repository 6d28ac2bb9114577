"""A chart as data: what ``chart.js`` draws.

A **panel** has tabs, a tab has charts, a chart has series. A chart knows the units of its axes, not
how numbers look: that is the page's.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Tone = Literal["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "good", "bad", "muted"]
TONES: tuple[Tone, ...] = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")

Number = float | None


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One axis.

    Attributes:
        label: What it counts.
        unit: "s", "/s", "share" or nothing.
        scales: Scales a reader may choose from, the first one first: "linear", "log", and "tail",
            which gives every nine of a share the same room.
        low: Where it begins; None for where the values begin.
        high: Where it ends at least; None for where the values end.
    """

    label: str
    unit: str = ""
    scales: tuple[Literal["linear", "log", "tail"], ...] = ("linear",)
    low: float | None = 0.0
    high: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line.

    Attributes:
        name: For the legend.
        tone: Its colour.
        points: (x, y); a y of None interrupts the line.
        band: (x, low, high) of the interval around it; None for an open end.
        marks: For each point "dot" or "cross"; empty for a bare line.
        dashed: Whether it is a line to compare with rather than a finding.
    """

    name: str
    tone: Tone
    points: tuple[tuple[float, Number], ...]
    band: tuple[tuple[float, Number, Number], ...] = ()
    marks: tuple[Literal["dot", "cross"], ...] = ()
    dashed: bool = False


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """A line across the chart.

    Attributes:
        axis: The axis it stands on.
        at: Where.
        label: What it is.
        tone: Its colour.
        cross: Where on the other axis a mark sits on it.
    """

    axis: Literal["x", "y"]
    at: float
    label: str
    tone: Tone = "muted"
    cross: float | None = None


class Shade(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the x axis that is set apart."""

    start: float
    end: float
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One chart. ``read`` is "curve" where y is read at any x, "nearest" at the points alone."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()
    shades: tuple[Shade, ...] = ()
    read: Literal["curve", "nearest"] = "nearest"
    height: int = 320


class Tab(msgspec.Struct, frozen=True, kw_only=True):
    """Charts that are seen together; several share their x axis and cursor."""

    name: str
    charts: tuple[Chart, ...]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Tabs under one heading."""

    name: str
    title: str
    tabs: tuple[Tab, ...]
