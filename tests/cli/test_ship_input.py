"""Bad input of ``pilotage ship``: one line that names the flag, and nothing half written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

LIFECYCLE = Path(__file__).parents[1] / "ship" / "lifecycle"
if str(LIFECYCLE) not in sys.path:
    sys.path.insert(0, str(LIFECYCLE))

from model_server import running_model  # noqa: E402

from pilotage.cli.ship import app  # noqa: E402
from pilotage.errors import PilotageError  # noqa: E402

Run = Callable[..., PilotageError]
SPEC = "name: receipts\nmodel: {source: 'hf://owner/name'}\n"
PLAN = {
    "schema": "pilotage.plan/1",
    "name": "receipts",
    "created_at": "2026-11-22T12:00:00Z",
    "pilotage": "0.1.0",
    "deployment": {
        "strategy": "ecs-gpu", "instance_type": "g5.2xlarge", "count": 2, "engine": "vllm",
    },
    "predictions": {"rate": 20.0},
}  # fmt: skip


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a verb on a good spec and plan, and gives the error; nothing was written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "no-commands"))
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    (tmp_path / "other.json").write_text(json.dumps({**PLAN, "name": "other"}))
    (tmp_path / "half.json").write_text(json.dumps(PLAN)[:90])

    def run(verb: str, *flags: str) -> PilotageError:
        before = sorted(tmp_path.rglob("*"))
        given = [] if "--plan" in flags else ["--plan", "plan.json"]
        done = CliRunner().invoke(app, [verb, "spec.yaml", *given, *flags])
        assert isinstance(done.exception, PilotageError), done.output
        assert "\n" not in str(done.exception)
        assert sorted(tmp_path.rglob("*")) == before
        return done.exception

    return run


@pytest.mark.parametrize(
    ("line", "where", "code"),
    [
        ("render --target nowhere", "--target", 2),
        ("render --target kubernetes --plan none.json", "none.json", 2),
        ("render --target kubernetes --plan half.json", "half.json", 2),
        ("render --target kubernetes --plan other.json", "--plan", 2),
        ("render --target kubernetes --deployment nope", "spec.yaml", 2),
        ("logs --target kubernetes --since soon", "--since", 2),
        ("logs --target kubernetes --since -5m", "--since", 2),
        ("apply --target kubernetes --yes --timeout never", "--timeout", 2),
        ("apply --target kubernetes --yes --poll 0", "--poll", 2),
        ("apply --target kubernetes --yes --address ftp://x", "--address", 2),
        ("apply --target terraform --yes", "shipping.target", 2),
        ("destroy --target terraform --yes", "shipping.target", 2),
    ],
)
def test_it_names_the_flag(line: str, where: str, code: int, refused: Run) -> None:
    error = refused(*line.split())
    assert (error.where, error.exit_code) == (where, code)


@pytest.mark.parametrize("verb", ["diff", "apply", "status", "logs", "destroy"])
def test_without_kubectl_every_verb_says_so(verb: str, refused: Run) -> None:
    flags = ["--yes"] if verb in ("apply", "destroy") else []
    error = refused(verb, "--target", "kubernetes", *flags)
    assert error.message == "kubectl is not installed"
    assert error.exit_code == 2


def test_what_terraform_applied_is_asked_at_its_address(
    refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused("smoke", "--target", "terraform").where == "shipping.target"
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    with running_model() as server:
        line = ["smoke", "spec.yaml", "--plan", "plan.json", "--target", "terraform", "-n", "2"]
        done = CliRunner().invoke(app, [*line, "--address", server.url, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["answers"] == 2
