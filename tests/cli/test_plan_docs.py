"""The worked examples of docs/plan.md, run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.plan.assumptions import ASSUMPTIONS, assume

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plan.md").read_text()
BLOCKS = re.findall(r"```console\n\$ pilotage (.+)\n((?:.+\n)+?)```", PAGE)


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_example(command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))
    result = CliRunner().invoke(app, shlex.split(command))
    # A page shows only its top here, and the terminal's width breaks other lines than ours.
    assert " ".join(result.output.split()).startswith(" ".join(shown.split()))


def test_all_kinds_of_examples_are_there() -> None:
    assert len(BLOCKS) == 4


def test_every_assumption_is_described() -> None:
    table = PAGE.partition("## What it assumes")[2].partition("##")[0]
    written = re.findall(r"^\| `([a-z.]+)=([^`|\\]+)", table, re.MULTILINE)
    names = {name for name, _ in written}
    assert names == {name for name in ASSUMPTIONS if not name.startswith("bedrock.")}
    for name, value in written:
        assume([f"{name}={value}"])
