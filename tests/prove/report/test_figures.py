"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.prove.report import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),  # noqa: RUF001
        (0, "0 ms"),
        (0.00000321, "3.21 µs"),
        (0.00042, "0.42 ms"),
        (0.0342, "34.2 ms"),
        (0.312, "312 ms"),
        (0.9996, "1.00 s"),
        (1.236, "1.24 s"),
        (125.4, "125 s"),
        (725, "12 min 5 s"),
        (3600, "60 min"),
        (-0.002, "−2.00 ms"),  # noqa: RUF001
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert figures.seconds(value) == text


@given(st.floats(1e-7, 599))
def test_seconds_are_within_half_a_per_cent(value: float) -> None:
    number, unit = figures.seconds(value).split(" ")
    factor = {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]

    assert float(number) * factor == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.9995, ">99.9 %"),
        (0.0001, "<0.1 %"),
        (0.953, "95.3 %"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value: float | None, text: str) -> None:
    assert figures.share(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.298, 0.331, "298–331 ms"),  # noqa: RUF001
        (0.98, 1.24, "980 ms – 1.24 s"),  # noqa: RUF001
        (0.298, None, "298 ms or more"),
        (None, 0.3, "300 ms or less"),
        (0.3, 0.3, "300 ms"),
        (None, None, ""),
    ],
)
def test_intervals(low: float | None, high: float | None, text: str) -> None:
    assert figures.interval(low, high) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (24.06, "/s", "24.1/s"),
        (12_345.6, "tokens/s", "12,346 tokens/s"),
        (16.974, "USD", "$16.97"),
        (12_345.6, "USD", "$12,346"),
        (0.0042, "USD", "$0.0042"),
        (4 * 1024**2, "bytes", "4 MiB"),
        (0.5, "share", "50.0 %"),
        (3.0, "", "3.00"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert figures.quantity(value, unit) == text


def test_a_promise_is_shown_exactly() -> None:
    assert figures.promise(0.4) == "400 ms"
    assert figures.promise(1.2345) == "1234.5 ms"


def test_a_moment_that_is_no_moment_is_shown_as_it_stands() -> None:
    assert figures.when("2026-11-22T10:04:11Z") == "22 November 2026, 10:04 UTC"
    assert figures.when("2026-11-22T10:04:11+02:00") == "22 November 2026, 08:04 UTC"
    assert figures.when("yesterday") == "yesterday"
