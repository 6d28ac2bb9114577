import json
from pathlib import Path

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from pilotage.cli.spec import app
from pilotage.errors import SpecError

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_check_says_what_a_spec_means() -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLES / "receipts.yaml")])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("receipts.yaml: ok, 1 deployment")
    assert "Llama-3.2-11B-Vision-Instruct from hf://meta-llama" in lines[2]
    assert "20/s, peak 40/s, spiky; prompts of 180 tokens, 900 at p99" in lines[3]
    assert "TTFT 800ms, TPOT 60ms, end to end 3s at p99" in lines[4]
    assert lines[5].split() == ["budget", "$16,000", "a", "month"]
    assert "127.0.0.1, port 8000, 1 worker" in lines[6]


def test_check_applies_the_defaults() -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLES / "embedded.yaml")])
    assert "none; admission aims at a first token within 2s" in result.stdout


def test_check_wraps_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    narrow = CliRunner().invoke(app, ["check", str(EXAMPLES / "finance.yaml")]).stdout
    monkeypatch.delenv("FORCE_COLOR")
    plain = CliRunner().invoke(app, ["check", str(EXAMPLES / "finance.yaml")]).stdout
    assert len(narrow.splitlines()) > len(plain.splitlines())
    assert "\x1b[" not in plain
    assert "$0.02 a request" in plain


def test_check_knows_portfolios() -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLES / "content_platform.yaml")])
    assert "portfolio, 5 deployments, $200,000 a month together" in result.stdout
    assert "50K/day, batch" in result.stdout


def test_check_says_where_it_is_routed_and_shipped(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLES / "support.yaml")])
    (routed,) = [line for line in result.stdout.splitlines() if "routing " in line]
    assert routed.split(maxsplit=1)[1] == (
        "support-auto by cascade over small (local) → medium (bedrock) → big (bedrock), "
        "calibrated by support.routing.json, 1% shadowed, 1% judged"
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "shipping:\n"
        "  target: ecs\n"
        "  region: eu-west-1\n"
        "  network: {public: true}\n"
        "  scaling: {metric: p90_latency, min: 2, max: 6, spot_share: 0.5}\n"
    )
    result = CliRunner().invoke(app, ["check", str(spec)])
    (shipped,) = [line for line in result.stdout.splitlines() if "shipping " in line]
    assert shipped.split(maxsplit=1)[1] == (
        "ecs, eu-west-1, on the internet, plain HTTP, 2 to 6 replicas by p90 latency, "
        "50% on spot above 1"
    )


def test_check_reports_every_error_of_every_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("nme: x\nport: 1\n")
    second.write_text("serving: {port: -1}\n")
    good = str(EXAMPLES / "support.yaml")
    result = CliRunner().invoke(app, ["check", str(first), good, str(second)])
    assert "support.yaml: ok" in result.stdout
    assert isinstance(result.exception, SpecError)
    assert result.exception.exit_code == 2
    assert str(result.exception).splitlines() == [
        f'{first}:1: nme: unknown key; did you mean "name"?',
        f'{first}:2: port: unknown key; did you mean "serving.port"?',
        f"{second}:1: serving.port: should be at least 0, got -1",
    ]


def test_check_as_json(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("nme: x\n")
    arguments = ["check", "--json", str(EXAMPLES / "support.yaml"), str(bad)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    good, wrong = json.loads(result.stdout)
    assert good["ok"]
    assert good["spec"]["workload"]["arrivals"]["rate"] == "100K/day"
    assert good["spec"]["serving"]["request_timeout"] == "10m"
    assert not wrong["ok"]
    assert wrong["error"]["where"] == f"{bad}:1"
    assert CliRunner().invoke(app, arguments[:3]).exit_code == 0


def test_schema_is_json_schema() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    jsonschema_rs.meta.validate(json.loads(result.stdout))
