"""`pilotage catalog`."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.catalog.prices import Price, StoredBook, read_book
from pilotage.cli import catalog
from pilotage.cli.catalog import app
from pilotage.errors import UsageError

BOOK = StoredBook(
    region="eu-west-1",
    date=date(2026, 11, 22),
    prices={
        name: Price(
            amount=Decimal(amount),
            unit=unit,
            source="AWS Price List API",
            date=date(2026, 11, 22),
            region="eu-west-1",
        )
        for name, amount, unit in (
            ("g5.xlarge", "1.123", "USD/h"),
            ("g5.xlarge:spot", "0.5", "USD/h"),
            ("ml.g5.xlarge", "1.57", "USD/h"),
            ("alb:hour", "0.0252", "USD/h"),
        )
    },
    offered=frozenset({"g5.xlarge"}),
)


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))


def test_an_instance_is_shown_with_all_its_prices() -> None:
    lines = _run("show", "g5.2xlarge").splitlines()
    assert lines[0] == "g5.2xlarge, 8 vCPUs, 32GiB, 1 x a10g of 22.4GiB, NVMe 419GiB"
    assert [line.split()[:2] for line in lines[2:]] == [
        ["g5.2xlarge", "1.212"],
        ["g5.2xlarge:spot", "unknown"],
        ["g5.2xlarge:one-year", "unknown"],
        ["ml.g5.2xlarge", "unknown"],
    ]
    assert "2026-07-20" in lines[2]


def test_a_price_of_ones_own_is_shown_as_such() -> None:
    (row,) = json.loads(_run("show", "alb:hour", "--price", "alb:hour=0.02", "--json"))["prices"]
    assert (row["amount"], row["source"]) == ("0.02", "given by you (--price)")


def test_json_has_null_for_what_is_unknown_and_never_zero() -> None:
    told = json.loads(_run("show", "services", "--json"))
    amounts = {row["name"]: row["amount"] for row in told["prices"]}
    assert amounts["machine:hour"] is None
    assert amounts["lambda:gb-second"] == "0.0000166667"
    assert all(amount is None or Decimal(amount) > 0 for amount in amounts.values())


def test_a_model_of_the_hub_is_shown_by_its_bedrock_id() -> None:
    text = _run("show", "meta-llama/Llama-3.1-8B-Instruct")
    assert "bedrock/meta.llama3-1-8b-instruct-v1:0:input" in text
    assert "genai-prices" in text


def test_all_instances_and_all_bedrock_models_are_listed() -> None:
    assert len(_run("show").splitlines()) > 100
    assert len(_run("show", "bedrock").splitlines()) > 170


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match='"nothing" is no instance type, price or model'):
        _run("show", "nothing")


def test_a_refresh_is_written_and_then_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str | None, str | None]] = []

    def fetch(region: str | None, profile: str | None) -> StoredBook:
        asked.append((region, profile))
        return BOOK

    monkeypatch.setattr(catalog, "fetch_prices", fetch)
    text = _run("refresh", "--region", "eu-west-1", "--profile", "team")
    assert text.startswith(
        "eu-west-1, 2026-11-22: 1 on demand, 1 spot, 1 SageMaker, 1 services\nwritten to "
    )
    assert asked == [("eu-west-1", "team")]
    assert read_book(tmp_path, "eu-west-1") == BOOK
    told = json.loads(_run("show", "g5.xlarge", "--region", "eu-west-1", "--json"))
    assert [row["amount"] for row in told["prices"]] == ["1.123", "0.5", None, "1.57"]


def test_a_refresh_can_be_read_by_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "fetch_prices", lambda *_: BOOK)
    told = json.loads(_run("refresh", "--json"))
    assert told["prices"] == {
        "on demand": 1,
        "spot": 1,
        "one-year": 0,
        "SageMaker": 1,
        "services": 1,
    }
