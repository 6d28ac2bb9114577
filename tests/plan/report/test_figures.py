"""Numbers of a plan as people read them."""

# ruff: noqa: RUF001 - signs as the pages show them
from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.plan.report import figures

GIB = 1 << 30


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.312, "312 ms"),
        (0.9996, "1.00 s"),
        (1.24, "1.24 s"),
        (725, "12 min 5 s"),
        (600, "10 min"),
        (0, "0 ms"),
        (math.inf, "–"),
        (None, "–"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert figures.seconds(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.28, 0.35, "280–350 ms"),
        (0.9, 1.2, "900 ms – 1.20 s"),
        (1.0, 1.0, "1.00 s"),
        (1.0, math.inf, "1.00 s or more"),
    ],
)
def test_interval(low: float, high: float, text: str) -> None:
    assert figures.interval(low, high) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5488.4, "$5,488"), (22.27, "$22.27"), (0.16, "$0.16"), (0.000104, "$0.0001"), (0, "$0.00")],
)
def test_usd(value: float, text: str) -> None:
    assert figures.usd(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (6.9 * GIB, "B", "6.9 GiB"),
        (-2 * GIB, "B", "−2 GiB"),
        (0.02, "s", "20.0 ms"),
        (3270, "USD/month", "$3,270"),
        (1234.5, "FLOP", "1,234 FLOP"),
    ],
)
def test_quantity_follows_the_unit(value: float, unit: str, text: str) -> None:
    assert figures.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("1.00 s", "1 s"),
        ("10.0 s", "10 s"),
        ("2.50 s", "2.5 s"),
        ("200 ms", "200 ms"),
        ("$1,000", "$1,000"),
        ("$22.00", "$22"),
        ("100%", "100%"),
    ],
)
def test_ticks_lose_their_zeros(text: str, short: str) -> None:
    assert figures.tick(text) == short


def test_counts_shares_and_rates() -> None:
    assert [figures.tokens(n) for n in (900, 8_030_261_248, 1_500_000)] == ["900", "8.03B", "1.5M"]
    assert [figures.share(s) for s in (0, 0.00001, 0.0041, 0.072, 0.41, 1.1)] == [
        "0%",
        "<0.1%",
        "0.41%",
        "7.2%",
        "41%",
        "110%",
    ]
    assert figures.per_second(94) == "94.0/s"
    assert figures.times(2.5) == "2.5×"
    assert figures.promise(0.4) == "400 ms"


def test_moments_are_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert figures.when(datetime(2026, 11, 22, 17, 4, tzinfo=east)) == "22 November 2026, 15:04 UTC"
    assert figures.when(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)).startswith("2 January")
    assert figures.when(datetime(2026, 1, 2, 3, 4)) == "2 January 2026, 03:04"


@given(value=st.floats())
def test_any_float_has_a_text(value: float) -> None:
    for show in (figures.number, figures.usd, figures.share, figures.per_second):
        assert show(value)
    if not value < 0:
        assert figures.seconds(value)


def test_a_rate_is_as_it_was_given_unless_it_was_computed() -> None:
    assert [figures.rate(one) for one in (20, 50_000 / 86_400, 12.5)] == [
        "20/s",
        "50K/day",
        "12.5/s",
    ]
    assert figures.rate(5.53042198907183) == "5.53/s"
