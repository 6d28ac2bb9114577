"""What rates, durations and schedules may be, and how they are named in a line."""

from __future__ import annotations

import math

from pilotage.errors import UsageError
from pilotage.units import format_duration, format_rate

MAX_REQUESTS = 5_000_000
"""Requests in one schedule at most: more of them fit neither a run nor a report."""

_ENOUGH = 10  # requests a run should have at the least to show anything


def check_rate(rate: float, name: str = "rate") -> float:
    """``rate`` as it came, if a process can have it.

    Raises:
        UsageError: It is zero, negative, infinite or not a number.
    """
    return _positive(rate, name, "a rate above zero, such as 20/s")


def check_duration(duration_s: float, name: str = "duration") -> float:
    """``duration_s`` as it came, if a schedule can have it.

    Raises:
        UsageError: It is zero, negative, infinite or not a number.
    """
    return _positive(duration_s, name, "a duration above zero, such as 60s or 5m")


def check_size(rate: float, duration_s: float) -> None:
    """Refuse a schedule that would be too long.

    Raises:
        UsageError: ``rate * duration_s`` is more than :data:`MAX_REQUESTS`.
    """
    expected = rate * duration_s
    if expected > MAX_REQUESTS:
        count = f"{expected:,.0f}" if expected < 1e15 else f"{expected:.3g}"
        raise UsageError(
            f"{show_rate(rate)} for {show_duration(duration_s)} is {count} requests, "
            f"more than the {MAX_REQUESTS:,} that one run may have",
            where="duration",
            hint=f"Give a duration of at most {show_duration(MAX_REQUESTS / rate)}, "
            f"or a rate of at most {show_rate(MAX_REQUESTS / duration_s)}.",
        )


def check_count(count: int, rate: float, duration_s: float) -> None:
    """Refuse a schedule that came out empty, or longer than its mean let expect.

    Raises:
        UsageError: ``count`` is none, or more than :data:`MAX_REQUESTS`.
    """
    asked = f"{show_rate(rate)} for {show_duration(duration_s)}"
    if count == 0:
        enough = _ENOUGH / rate
        longer = f"a duration of {show_duration(enough)}, or " if math.isfinite(enough) else ""
        raise UsageError(
            f"{asked} came out without a single request",
            where="duration",
            hint=f"Give {longer}a rate of {show_rate(_ENOUGH / duration_s)}, "
            f"for about {_ENOUGH} requests.",
        )
    if count > MAX_REQUESTS:
        raise UsageError(
            f"{asked} came out at {count:,} requests, "
            f"more than the {MAX_REQUESTS:,} that one run may have",
            where="duration",
            hint=f"Give a duration of {show_duration(0.9 * MAX_REQUESTS / rate)} or less.",
        )


def show_rate(rate: float) -> str:
    """``rate`` for a person: "20/s"."""
    return format_rate(float(rate), digits=3) if math.isfinite(rate) else f"{rate:g}/s"


def show_duration(duration_s: float) -> str:
    """``duration_s`` for a person: "1m"."""
    if not math.isfinite(duration_s):
        return f"{duration_s:g}s"
    # Exact where that is short ("90s"); rounded where it would be a row of digits.
    exact = format_duration(float(duration_s))
    return exact if len(exact) <= 6 else format_duration(float(duration_s), digits=3)


def _positive(value: float, name: str, wanted: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"got {value:g}", where=name, hint=f"Give {wanted}.")
    return float(value)
