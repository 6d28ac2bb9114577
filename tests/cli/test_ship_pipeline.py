"""``pilotage ship pipeline`` as it is run, and the canary that its workflow ships."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from pilotage.cli.ship import app
from pilotage.errors import PilotageError, UsageError

ROOT = Path(__file__).parents[2]
PLAN = {
    "schema": "pilotage.plan/1",
    "name": "receipts",
    "created_at": "2026-11-22T12:00:00Z",
    "pilotage": "0.1.0",
    "deployment": {
        "strategy": "ecs-gpu",
        "instance_type": "g5.2xlarge",
        "count": 2,
        "engine": "vllm",
        "dtype": "bf16",
        "settings": {"max_num_seqs": 64},
    },
    "predictions": {"rate": 20.0, "requests_per_s": 40.0, "usd_per_month": 1800.0},
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the chatbot, and receipts with a plan; the working folder is its root."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "chatbot.yaml", tmp_path / "examples")
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    receipts = {"name": "receipts", "model": {"source": "s3://models-of-ours/receipts"}}
    (tmp_path / "receipts.yaml").write_text(yaml.safe_dump(receipts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def told(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def refused(*arguments: str) -> PilotageError:
    error = run(*arguments).exception
    assert isinstance(error, UsageError), error
    assert error.exit_code == 2
    return error


def test_the_command_of_the_page_writes_what_the_page_says(repository: Path) -> None:
    page = (ROOT / "docs" / "ship.md").read_text()
    section = page.partition("\n## Pipeline\n")[2].partition("\n## ")[0]
    (command,) = re.findall(r"^pilotage (ship pipeline .+)$", section, re.MULTILINE)
    words = shlex.split(command, comments=True)
    done = run(*words[1:])
    assert done.exit_code == 0, (done.output, done.exception)
    file = repository / done.stdout.strip()
    assert file == repository / ".github" / "workflows" / "chatbot.yml"
    jobs = yaml.safe_load(file.read_text())["jobs"]
    rows = re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE)
    assert rows[: len(jobs)] == list(jobs)
    for environment in ("chatbot-review", "chatbot-canary", "chatbot"):
        assert environment in {job.get("environment") for job in jobs.values()}
        assert f"`{environment}`" in section


def test_json_says_what_was_written(repository: Path) -> None:
    found = told("pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock")
    assert found["file"] == ".github/workflows/chatbot.yml"
    assert (found["deployment"], found["target"]) == ("chatbot", "lambda-bedrock")
    assert found["changed"]
    assert found["actions"]["actions/checkout"].startswith("v")
    again = told("pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock")
    assert not again["changed"]
    elsewhere = told(
        "pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock", "-o", ".github/workflows/b.yml"
    )
    text = (repository / elsewhere["file"]).read_text()
    assert "      - .github/workflows/b.yml\n" in text
    assert "  SPEC: examples/chatbot.yaml\n" in text


def test_from_a_folder_below_paths_are_still_the_repository_s(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "examples")
    told("pipeline", "chatbot.yaml", "-t", "lambda-bedrock")
    text = (repository / ".github" / "workflows" / "chatbot.yml").read_text()
    assert "  SPEC: examples/chatbot.yaml\n" in text


def test_what_was_edited_is_only_overwritten_with_force(repository: Path) -> None:
    words = ("pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock")
    file = repository / told(*words)["file"]
    file.write_text(file.read_text().replace("timeout-minutes: 20", "timeout-minutes: 15"))
    assert "edited" in refused(*words).message
    assert told(*words, "--force")["changed"]


def test_this_machine_has_no_workflow(repository: Path) -> None:
    assert refused("pipeline", "receipts.yaml", "-t", "local").where == "--target local"
    assert not (repository / ".github").exists()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--branch", "main' || true || '"),
        ("--branch", "${{ github.head_ref }}"),
        ("--runner", "[self-hosted]"),
        ("--runner", "a\nb"),
        ("--requirements", "none.txt"),
        ("--output", "../outside.yml"),
    ],
)
def test_words_that_a_workflow_would_read_otherwise_are_refused(
    repository: Path, flag: str, value: str
) -> None:
    words = ("pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock", flag, value)
    assert str(refused(*words).where).startswith(flag)
    assert not (repository / ".github").exists()


def test_a_lock_is_installed_with_its_hashes(repository: Path) -> None:
    (repository / "pilotage lock.txt").write_text("")
    words = ("--requirements", "pilotage lock.txt", "--branch", "live", "--no-replan")
    text = (
        repository
        / told("pipeline", "examples/chatbot.yaml", "-t", "lambda-bedrock", *words)["file"]
    ).read_text()
    assert "  REQUIREMENTS: pilotage lock.txt\n" in text
    assert text.count("--require-hashes") == 6  # five jobs, and the way back


def test_the_canary_is_rendered_under_its_own_name(repository: Path) -> None:
    chatbot = ("examples/chatbot.yaml", "-t", "lambda-bedrock")
    real = told("render", *chatbot)
    alone = told("render", *chatbot, "--canary")
    assert (real["deployment"], alone["deployment"]) == ("chatbot", "chatbot-canary")
    assert (real["folder"], alone["folder"]) == ("ship/chatbot", "ship/chatbot-canary")
    assert real["package_key"].startswith("pilotage-chatbot/")
    assert alone["package_key"].startswith("pilotage-chatbot-canary/")
    template = (repository / "ship" / "chatbot-canary" / "template.yaml").read_text()
    assert "/aws/lambda/pilotage-chatbot-canary" in template


def test_the_canary_costs_one_replica(repository: Path) -> None:
    receipts = ("receipts.yaml", "-t", "kubernetes", "--plan", "plan.json")
    real, alone = told("cost", *receipts), told("cost", *receipts, "--canary")
    assert real["bills"]["desired"]["replicas"] == 2
    assert {one["replicas"] for one in alone["bills"].values()} == {1}


def test_a_deployment_of_that_name_is_no_canary(repository: Path) -> None:
    chatbot = yaml.safe_load((repository / "examples" / "chatbot.yaml").read_text())
    both = [chatbot, {**chatbot, "name": "chatbot-canary"}]
    (repository / "both.yaml").write_text(
        yaml.safe_dump({"deployments": json.loads(json.dumps(both))})
    )
    words = ("both.yaml", "-t", "lambda-bedrock", "--deployment", "chatbot")
    assert "is a deployment of the portfolio" in refused("render", *words, "--canary").message
    assert "is a deployment of the portfolio" in refused("pipeline", *words).message
    assert not (repository / ".github").exists()


def test_model_units_have_no_canary(repository: Path) -> None:
    planned = {**PLAN["deployment"], "strategy": "bedrock-provisioned", "instance_type": None}  # type: ignore[dict-item]
    (repository / "plan.json").write_text(json.dumps({**PLAN, "deployment": planned}))
    error = refused(
        "render", "receipts.yaml", "-t", "bedrock-provisioned", "--plan", "plan.json", "--canary"
    )
    assert error.where == "--canary"
