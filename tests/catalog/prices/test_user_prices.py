"""Prices that users give."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices import parse_prices, read_prices
from pilotage.errors import SpecError, UsageError


def test_flags_are_pairs() -> None:
    prices = parse_prices(["ml.g5.2xlarge=1.52", "bedrock/a.b:0:model-unit= 24"], "us-east-1")
    assert prices["ml.g5.2xlarge"].amount == Decimal("1.52")
    assert prices["bedrock/a.b:0:model-unit"].amount == 24


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("ml.g5.2xlarge", "is no price"),
        ("nothing=1", "names no price"),
        ("alb:hour=", "should be a number"),
        ("alb:hour=-1", "should be from 0"),
    ],
)
def test_other_flags_are_refused(flag: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_prices([flag], "us-east-1")


def test_a_price_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_prices(["alb:hour=1", "alb:hour=2"], "us-east-1")


def test_a_zero_that_the_user_gives_is_the_users(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("prices:\n  machine:hour: 0\n")
    assert read_prices(path, "us-east-1")["machine:hour"].amount == 0


def test_a_file_of_another_region_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("region: eu-west-1\nprices:\n  g5.xlarge: 1.1\n")
    assert read_prices(path, "us-east-1") == {}
    assert read_prices(path, "eu-west-1")["g5.xlarge"].amount == Decimal("1.1")


def test_no_file_and_an_empty_file_hold_no_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    assert read_prices(path, "us-east-1") == {}
    path.write_text("# later\n")
    assert read_prices(path, "us-east-1") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prices: [1, 2]", "should map names"),
        ("- 1", "region: and prices: only"),
        ("price: {}", "region: and prices: only"),
        ("prices: {1: 2}", "should map names"),
        ("prices: {g5.xlarge: cheap}", "should be a number"),
        ("prices: {g5: 1}", "names no price"),
        ("region: 5\nprices: {}", "a name such as"),
        ("prices: {g5.xlarge: 1", r"prices.yaml:\d+: is no valid YAML"),
        ("prices: !!python/object:os.system {}", "is no valid YAML"),
        ("\x00", "is no valid YAML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=words) as caught:
        read_prices(path, "us-east-1")
    assert "\n" not in str(caught.value)


def test_folders_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_prices(tmp_path, "us-east-1")
    (tmp_path / "big").write_bytes(b"#" * (2 << 20))
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        read_prices(tmp_path / "big", "us-east-1")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_prices_or_a_spec_error(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_bytes(data)
    try:
        assert isinstance(read_prices(path, "us-east-1"), dict)
    except SpecError as error:
        assert error.where is not None
