"""The worked example of docs/prices.md prints what the page says, and its tables are ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.catalog.prices import read_prices
from pilotage.catalog.prices.price import SERVICE_UNITS, TOKEN_KINDS
from pilotage.cli.catalog import app
from pilotage.plan.strategies import STRATEGIES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "prices.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,), (told,) = _blocks("python"), _blocks("text")
    exec(compile(code, "docs/prices.md", "exec"), {})
    assert capsys.readouterr().out == told


def test_the_command_prints_what_the_page_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))
    block = next(one for one in _blocks("console") if "catalog show" in one)
    command, _, told = block.partition("\n")
    arguments = command.removeprefix("$ pilotage catalog ").split()
    assert CliRunner().invoke(app, arguments).output == told


def test_the_file_of_the_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(_blocks("yaml")[0])
    assert len(read_prices(path, "eu-west-1")) == 3


def test_the_table_names_every_strategy() -> None:
    assert all(f"`{name}`" in PAGE for name in STRATEGIES)


@pytest.mark.parametrize("name", sorted(SERVICE_UNITS))
def test_the_table_names_every_service(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("kind", sorted(TOKEN_KINDS))
def test_the_table_names_every_price_of_a_model(kind: str) -> None:
    assert f"`:{kind}`" in PAGE or f"`bedrock/ID:{kind}`" in PAGE
