"""Prices' names, units and amounts."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices import (
    SERVICE_UNITS,
    Price,
    UnknownPriceError,
    parse_amount,
    unit_of,
)
from pilotage.errors import UsageError


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("g5.2xlarge", "USD/h"),
        ("g5.2xlarge:spot", "USD/h"),
        ("p6-b200.48xlarge:one-year", "USD/h"),
        ("g5g.metal", "USD/h"),
        ("ml.g5.2xlarge", "USD/h"),
        ("bedrock/meta.llama3-1-8b-instruct-v1:0:input", "USD/Mtok"),
        ("bedrock/meta.llama3-1-8b-instruct-v1:0:model-unit", "USD/h"),
        ("bedrock/x.y:image", "USD/image"),
        ("alb:hour", "USD/h"),
        ("lambda:gb-second", "USD/GB-s"),
    ],
)
def test_units_follow_from_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit


@pytest.mark.parametrize(
    "name",
    ["", "g5", "g5.2xlarge:monthly", "ml.g5.2xlarge:spot", "bedrock/x", "bedrock/x.y:out", "a b.c"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="names no price"):
        unit_of(name)


def test_a_near_name_is_proposed() -> None:
    with pytest.raises(UsageError, match='mean "alb:lcu-hour"'):
        unit_of("alb:lcu-hours")


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_a_clear_error(name: str) -> None:
    try:
        assert unit_of(name).startswith("USD/")
    except UsageError as error:
        assert "names no price" in str(error)


@given(st.decimals(min_value=0, max_value=1_000_000, allow_nan=False, places=10))
def test_amounts_are_exact(amount: Decimal) -> None:
    assert parse_amount(f"{amount:f}", "alb:hour") == amount


def test_a_float_is_the_number_that_was_written() -> None:
    assert parse_amount(1.52, "alb:hour") == Decimal("1.52")
    assert parse_amount("$0.1", "alb:hour") == Decimal("0.1")


@pytest.mark.parametrize(
    "value", ["", "cheap", "nan", "inf", "-1", -0.5, 1e7, True, None, [1], "1,5", "0x10"]
)
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="price of alb:hour should be"):
        parse_amount(value, "alb:hour")


def test_a_price_cites_its_source() -> None:
    price = Price(
        amount=Decimal(1),
        unit="USD/h",
        source="the list",
        date=date(2026, 7, 20),
        region="us-east-1",
    )
    assert price.cited == "the list, us-east-1, 2026-07-20"


def test_an_unknown_price_is_a_usage_error_with_its_name() -> None:
    error = UnknownPriceError("not known", name="alb:hour", hint="Pass it")
    assert (error.exit_code, error.name) == (2, "alb:hour")
    assert error.as_dict()["hint"] == "Pass it"


def test_every_service_has_a_unit() -> None:
    assert all(unit_of(name) == unit for name, unit in SERVICE_UNITS.items())
