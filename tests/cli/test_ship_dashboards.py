"""``pilotage ship dashboards``: two files, their limits, and what is never overwritten."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pilotage.cli.ship import app
from pilotage.errors import PilotageError, UsageError

SPEC = """\
name: notes
model: {source: "hf://meta-llama/Llama-3.2-11B-Vision-Instruct"}
slo: {ttft_p99: 400ms}
shipping: {target: local}
"""
PLAN = {
    "schema": "pilotage.plan/1",
    "name": "notes",
    "created_at": "2026-11-22T12:00:00Z",
    "pilotage": "0.1.0",
    "deployment": {"strategy": "ecs-gpu", "instance_type": "g6e.2xlarge", "engine": "vllm"},
    "predictions": {"rate": 2.0, "requests_per_s": 5.0},
}


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "notes.yaml"
    file.write_text(SPEC)
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    return file


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["dashboards", *arguments])
    if isinstance(result.exception, PilotageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def alerts(folder: str) -> dict[str, str]:
    found = yaml.safe_load(Path(folder, "rules.yaml").read_text())
    return {one["alert"]: one["expr"] for one in found["groups"][1]["rules"]}


def test_both_files_are_written_with_the_specs_limits(spec: Path) -> None:
    lines = run(str(spec)).splitlines()
    assert lines == [
        "ship/notes-dashboards/dashboard.json",
        "ship/notes-dashboards/rules.yaml",
    ]
    found = alerts("ship/notes-dashboards")
    assert "> 0.4 and" in found["PilotageSlowFirstTokens"]
    assert 'job="pilotage-notes"' in found["PilotageWorkerDown"]
    board = json.loads(Path(lines[0]).read_text())
    assert board["title"] == "Pilotage: notes"


def test_json_tells_each_alert_with_its_reason(spec: Path) -> None:
    told = json.loads(run(str(spec), "-o", "out", "--json"))
    assert told["files"] == ["out/dashboard.json", "out/rules.yaml"]
    assert (told["job"], told["namespace"]) == ("pilotage-notes", None)
    slow = next(one for one in told["alerts"] if one["name"] == "PilotageSlowFirstTokens")
    assert slow["severity"] == "critical"
    assert slow["reason"].startswith("slo.ttft_p99 is 0.4 s.")


def test_what_was_edited_is_overwritten_only_by_force(spec: Path) -> None:
    run(str(spec), "-o", "out")
    run(str(spec), "-o", "out")
    rules = Path("out/rules.yaml")
    rules.write_text("groups: []\n")
    with pytest.raises(UsageError, match="edited"):
        run(str(spec), "-o", "out")
    assert rules.read_text() == "groups: []\n"
    run(str(spec), "-o", "out", "--force")
    assert "PilotageWorkerDown" in rules.read_text()


def test_what_somebody_else_wrote_is_left(spec: Path) -> None:
    Path("out").mkdir()
    Path("out/dashboard.json").write_text("{}")
    with pytest.raises(UsageError, match="not rendered by Pilotage"):
        run(str(spec), "-o", "out")
    assert not Path("out/rules.yaml").exists()
    run(str(spec), "-o", "out", "--force")
    assert "panels" in Path("out/dashboard.json").read_text()


def test_it_shares_a_folder_with_what_render_wrote(spec: Path) -> None:
    arguments = (str(spec), "--plan", "plan.json", "--target", "kubernetes", "-o", "out")
    rendered = CliRunner().invoke(app, ["render", *arguments])
    assert rendered.exit_code == 0, rendered.output
    before = {one.name for one in Path("out").iterdir()}
    run(*arguments)
    after = {one.name for one in Path("out").iterdir()}
    assert after - before == {"dashboard.json", "rules.yaml", ".pilotage-dashboards.json"}
    again = CliRunner().invoke(app, ["render", *arguments])
    assert again.exit_code == 0, again.output
    assert {one.name for one in Path("out").iterdir()} == after


def test_the_plan_and_the_namespace_are_in_it(spec: Path) -> None:
    spec.write_text(SPEC.replace("target: local", "namespace: ours"))
    run(str(spec), "--plan", "plan.json", "--target", "kubernetes", "-o", "out")
    found = alerts("out")
    assert 'namespace="ours",job="pilotage-notes"' in found["PilotageWorkerDown"]
    assert "PilotageGpuIdle" in found
    rules = Path("out/rules.yaml").read_text()
    assert "5 requests a second within the SLO" in " ".join(rules.split())


@pytest.mark.parametrize("target", ["sagemaker", "kserve"])
def test_where_nobody_can_read_our_metrics_is_said(target: str, spec: Path) -> None:
    Path("plan.json").write_text(
        json.dumps(
            {
                **PLAN,
                "deployment": {
                    "strategy": "sagemaker-realtime" if target == "sagemaker" else "ecs-gpu",
                    "instance_type": "ml.g6e.2xlarge" if target == "sagemaker" else "g6e.2xlarge",
                    "engine": "vllm",
                },
            }
        )
    )
    with pytest.raises(UsageError) as refused:
        run(str(spec), "--plan", "plan.json", "--target", target, "-o", "out")
    assert refused.value.hint
    assert not Path("out").exists()
