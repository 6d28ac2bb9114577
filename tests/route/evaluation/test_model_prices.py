"""Prices of the compared models: an unknown one is an error, never zero."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from pilotage.errors import UsageError
from pilotage.route.evaluation import default_prices, read_prices


def _file(folder: Path, data: object) -> Path:
    path = folder / "prices.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def test_the_two_models_of_routellm_are_known_in_both_spellings() -> None:
    for names in (
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
        ("mixtral_8x7b", "gpt_4_1106"),
    ):
        small, big = default_prices(names)
        assert (small.input, big.output) == (Decimal("0.24"), Decimal("24.7"))
        assert "2406.18665" in small.source


def test_others_are_not() -> None:
    with pytest.raises(UsageError, match="no price of the model 'gpt-4'"):
        default_prices(["mixtral_8x7b", "gpt-4"])


def test_prices_of_a_file(tmp_path: Path) -> None:
    data = {
        "a": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.30, "size": "7B"},
        "b": {"input": 2},
        "c": 0.5,
    }
    found = read_prices(_file(tmp_path, data), ["b", "a", "c"])
    assert [(one.input, one.output) for one in found] == [
        (Decimal(2), Decimal(2)),
        (Decimal("0.1"), Decimal("0.3")),
        (Decimal("0.5"), Decimal("0.5")),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"b": 1}, "no price of the model 'a'"),
        ({"a": 0}, "no amount above zero"),
        ({"a": -1}, "no amount above zero"),
        ({"a": True}, "no amount above zero"),
        ({"a": "1"}, "no amount above zero"),
        ({"a": {"output_usd_per_mtok": 1}}, "no amount above zero"),
        ('{"a": NaN}', "no amount above zero"),
        ('{"a": 1e999999}', "no amount above zero"),
        ([1], "no mapping"),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_price(tmp_path: Path, data: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_prices(_file(tmp_path, data), ["a"])


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read it"):
        read_prices(tmp_path / "none.json", ["a"])
