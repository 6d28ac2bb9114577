"""What docs/ship.md says of dashboards and rules: its command runs, its table is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_tools import needs_promtool, promtool
from typer.testing import CliRunner
from watched_shipments import WATCHED, rules

from pilotage.cli.ship import app

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ship.md").read_text("utf-8")
SECTION = PAGE.partition("## Dashboards and rules\n")[2].partition("\n## ")[0]


def block(kind: str) -> str:
    return SECTION.partition(f"```{kind}\n")[2].partition("```")[0]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the page's command has run."""
    command, *said = block("console").splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    verb = command.removeprefix("$ pilotage ship ").split()
    result = CliRunner().invoke(app, verb)
    assert result.exit_code == 0, result.output
    assert [*result.stdout.splitlines(), *result.stderr.splitlines()] == said
    return tmp_path


@needs_promtool
def test_the_command_prints_that_and_prometheus_takes_the_configuration(written: Path) -> None:
    (written / "metrics.key").write_text("not-a-key")
    (written / "prometheus.yml").write_text(block("yaml"))
    jobs = [one["job_name"] for one in yaml.safe_load(block("yaml"))["scrape_configs"]]
    assert jobs == ["pilotage-support", "pilotage-support-gpu"]
    done = promtool("check", "config", written / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_prints_that(written: Path) -> None:
    assert {one.name for one in (written / "watch").iterdir()} >= {"dashboard.json", "rules.yaml"}


def test_the_table_has_every_alert_and_no_other() -> None:
    named = set(re.findall(r"`(Pilotage[A-Za-z]+)`", SECTION))
    assert named == {alert.name for name in WATCHED for alert in rules(name).alerts}
