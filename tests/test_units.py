import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.units import (
    COUNT_PATTERN,
    DURATION_PATTERN,
    RATE_PATTERN,
    SIZE_PATTERN,
    UnitError,
    format_count,
    format_duration,
    format_rate,
    format_size,
    parse_count,
    parse_duration,
    parse_rate,
    parse_size,
)

PARSERS = [parse_duration, parse_size, parse_count, parse_rate]
numbers = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
integers = st.integers(min_value=0, max_value=2**63 - 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("400ms", 0.4),
        ("1.5s", 1.5),
        ("2m", 120),
        ("2min", 120),
        ("1h", 3600),
        ("1d", 86_400),
        ("250us", 0.00025),
        (" 10 s ", 10),
        ("1e3ms", 1),
        ("7", 7),
        (7, 7),
        (0.1, 0.1),
    ],
)
def test_duration(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * 1024**3),
        ("512MiB", 512 * 1024**2),
        ("20GB", 20_000_000_000),
        ("100MB", 100_000_000),
        ("1KiB", 1024),
        ("1KB", 1000),
        ("1.3GiB", 1_395_864_371),
        ("0B", 0),
        (4096, 4096),
    ],
)
def test_size_tells_binary_from_decimal(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("20/s", 20), ("50K/day", 50_000 / 86_400), ("120/min", 2), ("1.8M/h", 500), (3, 3)],
)
def test_rate(text: str | float, per_second: float) -> None:
    assert parse_rate(text) == per_second


def test_count() -> None:
    assert [parse_count(text) for text in ("100K", "1.5M", "2B", "7", 7)] == [
        100_000,
        1_500_000,
        2_000_000_000,
        7,
        7,
    ]


@settings(deadline=None)
@given(numbers)
def test_duration_round_trip(seconds: float) -> None:
    text = format_duration(seconds)
    assert parse_duration(text) == seconds
    assert re.search(DURATION_PATTERN, text)


@settings(deadline=None)
@given(numbers)
def test_rate_round_trip(per_second: float) -> None:
    text = format_rate(per_second)
    assert parse_rate(text) == per_second
    assert re.search(RATE_PATTERN, text)


@settings(deadline=None)
@given(integers)
def test_size_round_trip(size: int) -> None:
    text = format_size(size)
    assert parse_size(text) == size
    assert re.search(SIZE_PATTERN, text)


@settings(deadline=None)
@given(integers)
def test_count_round_trip(count: int) -> None:
    text = format_count(count)
    assert parse_count(text) == count
    assert re.search(COUNT_PATTERN, text)


@settings(deadline=None)
@given(
    st.integers(1, 999),
    st.sampled_from(["us", "ms", "s", "m", "h", "d"]),
)
def test_written_durations_survive(number: int, unit: str) -> None:
    seconds = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(seconds)) == seconds
    assert len(format_duration(seconds)) <= len(f"{number}{unit}") + 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_duration(0.4), "400ms"),
        (format_duration(90), "90s"),
        (format_duration(600), "10m"),
        (format_duration(0), "0s"),
        (format_duration(1 / 3, digits=3), "333ms"),
        (format_size(24 * 1024**3), "24GiB"),
        (format_size(20_000_000_000), "20GB"),
        (format_size(1_500_000, digits=3), "1.43MiB"),
        (format_rate(20), "20/s"),
        (format_rate(1000), "1K/s"),
        (format_rate(50_000 / 86_400), "50K/day"),
        (format_rate(100 / 60), "100/min"),
        (format_rate(1.16, digits=2), "1.2/s"),
        (format_count(100_000), "100K"),
        (format_count(32_768), "32768"),
    ],
)
def test_formats_read_well(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "bad",
    [-1, "-1", "- 1", float("nan"), float("inf"), "nan", "inf", "", "abc", "1 2", "1,5", True,
     None, [], "1e999", "9" * 400, "0x10", "\uff11"],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(parse, bad) -> None:
    if bad == "9" * 400 and parse in (parse_duration, parse_rate):
        bad = 10**400
    with pytest.raises(UnitError):
        parse(bad)


@settings(deadline=None)
@given(st.text() | st.binary() | st.floats() | st.integers())
def test_no_input_breaks_a_parser(value) -> None:
    for parse in PARSERS:
        try:
            number = parse(value)
        except UnitError as error:
            assert len(str(error)) < 300
        else:
            assert 0 <= number < float("inf")


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_size, "24gb", 'did you mean "GB"? units are B, KiB, MiB, GiB, TiB, KB'),
        (parse_size, "24G", 'unknown unit "G" in "24G"'),
        (parse_duration, "5 parsecs", "units are us, ms, s, m, min, h, d"),
        (parse_duration, "400millis", 'unknown unit "millis"'),
        (parse_rate, "5/week", "a s, min, h or day"),
        (parse_duration, "soon", "400ms, 1.5s, 2m or 1h"),
        (parse_duration, "-1s", "should not be negative"),
        (parse_count, "1.5", "should be a whole number"),
        (parse_size, "9999999TiB", "too large"),
    ],
)
def test_errors_name_the_units_that_exist(parse, text: str, words: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text)
    assert words in str(caught.value)


def test_a_unit_error_suits_users_and_validators() -> None:
    assert issubclass(UnitError, UsageError)
    assert issubclass(UnitError, ValueError)
