"""Numbers of a plan as people read them: "312 ms", "1.24 s", "$3,270", "14.8 GiB".

Three significant digits, as in the reports of ``prove``; the exact values are in the JSON.
"""

from __future__ import annotations

import calendar
import math
import re
from datetime import UTC, datetime
from typing import Final

from pilotage.units import format_duration, format_rate, format_size

_DASH, _TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
NOTHING = _DASH


def number(value: float | None) -> str:
    """A number by itself: three significant digits, or all digits before the point."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 0:
        return f"\N{MINUS SIGN}{number(-value)}"
    value = float(f"{value:.3g}") if value < 1_000 else value
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """A latency: "0.42 ms", "312 ms", "1.24 s", "12 min 5 s"."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value >= 600:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes:,} min {rest} s" if rest else f"{minutes:,} min"
    rounded = float(f"{value:.3g}")
    return f"{number(rounded)} s" if rounded >= 1 else f"{number(value * 1e3)} ms"


def tick(text: str) -> str:
    """A figure for an axis, without the zeros that only fill its digits: "1 s" for "1.00 s"."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", r"\1", text).replace(". ", " ").removesuffix(".")


def interval(low: float, high: float) -> str:
    """An interval of time: "280-350 ms" with a dash of its own; open above when it is endless."""
    first, last = seconds(low), seconds(high)
    if not math.isfinite(high):
        return f"{first} or more"
    if first == last:
        return first
    digits, _, unit = first.rpartition(" ")
    return f"{digits}{_DASH}{last}" if last.endswith(f" {unit}") else f"{first} {_DASH} {last}"


_GIVEN: Final = 10
"""Letters of a rate that somebody wrote; one that was computed has more."""


def promise(value: float) -> str:
    """A target of the SLO, exactly as it was promised: "400 ms"."""
    return re.sub(r"(?<=\d)(?=[A-Za-z])", " ", format_duration(value), count=1)


def rate(value: float) -> str:
    """A rate as it was given: "20/s", "50K/day"; of one that a trace has, three digits."""
    given = format_rate(value)
    return given if len(given) <= _GIVEN else format_rate(value, digits=3)


def per_second(value: float | None) -> str:
    """A rate that was computed: "24.1/s"."""
    return NOTHING if value is None or not math.isfinite(value) else f"{number(value)}/s"


def share(value: float | None) -> str:
    """A share from 0 to 1 in per cent."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value * 100:.2g}%"


def usd(value: float | None) -> str:
    """Dollars; cents only where they matter, and small prices to two significant digits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value >= 1_000:
        return f"${value:,.0f}"
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def size(value: float | None) -> str:
    """Bytes: "24 GiB"."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 0:
        return f"\N{MINUS SIGN}{size(-value)}"
    return re.sub(r"(?<=\d)(?=[A-Za-z])", " ", format_size(round(value), digits=3), count=1)


def tokens(value: float) -> str:
    """A number of tokens or parameters: "8.03B", "512K", "900"."""
    for power, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= power:
            return f"{value / power:.3g}{letter}"
    return f"{round(value):,}"


def times(value: float) -> str:
    """A ratio: "2.5" and a times sign."""
    return f"{value:.3g}{_TIMES}"


def when(moment: datetime) -> str:
    """A moment in UTC: "22 November 2026, 10:04 UTC"; as it stands without a time zone."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    zone = " UTC" if moment.tzinfo is not None else ""
    return f"{moment.day} {calendar.month_name[moment.month]} {moment:%Y, %H:%M}{zone}"


def quantity(value: float, unit: str) -> str:
    """A value by the unit of a `Term`: "B", "s", "USD/month", or any other, which is shown."""
    match unit:
        case "B":
            return size(value)
        case "s":
            return seconds(value)
        case "USD/month" | "USD":
            return usd(value)
        case _:
            return f"{number(value)} {unit}".rstrip()
