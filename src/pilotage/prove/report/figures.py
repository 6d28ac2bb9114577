"""Numbers as people read them: "312 ms", "1.24 s", "24.1/s", "$1,234".

Three significant digits nearly everywhere, so that columns compare at a glance; the exact values
are in ``report.json``. A value that is not there is a dash.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime

from pilotage.prove.result import Estimate
from pilotage.units import format_duration, format_size

_DASH, _MINUS, _TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
NOTHING = _DASH

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SMALLEST_IN_MS = 1e-4  # below a tenth of a millisecond, microseconds read better


def seconds(value: float | None) -> str:
    """A latency or a length of time: "0.42 ms", "312 ms", "1.24 s", "12 min 5 s"."""
    if value is None:
        return NOTHING
    if value < 0:
        return f"{_MINUS}{seconds(-value)}"
    if value >= 600:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes:,} min {rest} s" if rest else f"{minutes:,} min"
    if value == 0:
        return "0 ms"
    rounded = _rounded(value)
    at_least = (1.0, _SMALLEST_IN_MS, 0.0)
    factor, unit = next(u for u, least in zip(_UNITS, at_least, strict=True) if rounded >= least)
    return f"{number(value / factor)} {unit}"


def promise(value: float) -> str:
    """A target of the SLO, exactly as it was promised: "400 ms"."""
    return _spaced(format_duration(value))


def number(value: float | None) -> str:
    """A number by itself, three significant digits or all digits before the point."""
    if value is None:
        return NOTHING
    if value < 0:
        return f"{_MINUS}{number(-value)}"
    if value == 0:
        return "0"
    value = _rounded(value)
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def count(value: int | None) -> str:
    """A count, exact: "12,345"."""
    return NOTHING if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Events a second: "24.1/s"."""
    return NOTHING if value is None else f"{number(value)}/s"


def offered(value: float) -> str:
    """A rate that was chosen, not measured: "27.5/s" and "10/s", not "10.0/s"."""
    return f"{value:,.0f}/s" if value >= 1_000 else f"{value:.4g}/s"


def share(value: float | None) -> str:
    """A share from 0 to 1 in per cent; never rounded to all or nothing."""
    if value is None:
        return NOTHING
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    text = f"{value * 100:.1f}"
    if text == "100.0" and value < 1:
        return ">99.9 %"
    return "<0.1 %" if text == "0.0" else f"{text} %"


def confidence(value: float) -> str:
    """A level of confidence: "95 %", "99.9 %"."""
    return f"{value * 100:g} %"


def when(created_at: str) -> str:
    """A moment in UTC: "22 November 2026, 10:04 UTC"; as it stands if it is no ISO 8601."""
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return created_at
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment.day} {calendar.month_name[moment.month]} {moment:%Y, %H:%M} UTC"


def change(value: float | None) -> str:
    """A relative difference: "+12 %", "-3.4 %", with a true minus."""
    if value is None:
        return NOTHING
    sign = "+" if value > 0 else _MINUS if value < 0 else "±"
    return f"{sign}{number(abs(value) * 100)} %"


def ratio(value: float | None) -> str:
    """A ratio: 0.83 times."""
    return NOTHING if value is None else f"{number(value)}{_TIMES}"


def usd(value: float | None) -> str:
    """Dollars; cents only where they matter, and small prices to two significant digits."""
    if value is None:
        return NOTHING
    if value >= 1_000:
        return f"${value:,.0f}"
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def size(value: int | None) -> str:
    """Bytes: "24 GiB"."""
    return NOTHING if value is None else _spaced(format_size(value, digits=3))


def quantity(value: float | None, unit: str) -> str:  # noqa: PLR0911
    """``value`` by its unit as the report names it: "s", "/s", "tokens/s", "USD", "share"."""
    if value is None:
        return NOTHING
    match unit:
        case "s":
            return seconds(value)
        case "/s":
            return rate(value)
        case "USD":
            return usd(value)
        case "share":
            return share(value)
        case "bytes":
            return size(round(value))
        case "":
            return number(value)
        case _:
            return f"{number(value)} {unit}"


def estimate(value: Estimate | None) -> str:
    """A percentile by itself; "no answer" where failed requests reach down to it."""
    if value is None:
        return NOTHING
    return "no answer" if value.value is None else seconds(value.value)


def interval(low: float | None, high: float | None, unit: str = "s") -> str:
    """A confidence interval with a dash between its ends; an open end in words, none as nothing."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"{quantity(low, unit)} or more"
    if low is None:
        return f"{quantity(high, unit)} or less"
    first, last = quantity(low, unit), quantity(high, unit)
    if first == last:
        return first
    number_of, _, unit_of = first.rpartition(" ")
    return (
        f"{number_of}{_DASH}{last}"
        if unit_of == last.rpartition(" ")[2]
        else f"{first} {_DASH} {last}"
    )


def _rounded(value: float) -> float:
    """To three significant digits, so that 999.6 ms becomes 1.00 s and not 1,000 ms."""
    return float(f"{value:.3g}") if value < 1_000 else value


def _spaced(text: str) -> str:
    return re.sub(r"(?<=\d)(?=[A-Za-z])", " ", text, count=1)
