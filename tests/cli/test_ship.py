"""``pilotage ship`` as it is run, over moto's HTTP server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from typer.testing import CliRunner, Result

LIFECYCLE = Path(__file__).parents[1] / "ship" / "lifecycle"
if str(LIFECYCLE) not in sys.path:
    sys.path.insert(0, str(LIFECYCLE))

from aws_front import ACCOUNT, REGION, Front, Reply, quota, running_front  # noqa: E402
from model_server import ModelServer, running_model  # noqa: E402

from pilotage.cli.ship import app  # noqa: E402
from pilotage.errors import PilotageError, ResourceError, SpecError, UsageError  # noqa: E402

NAME = "pilotage-receipts"
KEYS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:receipts/keys-AbCdEf"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pilotage@sha256:{'ab' * 32}"
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

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def whole_module() -> Iterator[Front]:
    with running_front() as front:
        yield front


@pytest.fixture
def front(whole_module: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    for name, value in whole_module.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "2")
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    whole_module.reset()
    whole_module.answers["GetServiceQuota"] = quota(256)
    # moto's targets are those that a test registers; ECS would do it.
    whole_module.answers["DescribeTargetHealth"] = lambda _: Reply(
        "<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions>"
        + "".join(
            f"<member><Target><Id>10.0.0.{number}</Id><Port>8000</Port></Target><TargetHealth>"
            "<State>healthy</State></TargetHealth></member>"
            for number in (1, 2)
        )
        + "</TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>",
        kind="text/xml",
    )
    return whole_module


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with running_model() as server:
        yield server


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with its plan beside it; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    return _spec(tmp_path)


def _spec(folder: Path, **shipping: Any) -> Path:
    path = folder / "receipts.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "receipts",
                "model": {"source": "s3://models-of-ours/receipts", "max_model_len": 4096},
                "workload": {
                    "arrivals": {"rate": "20/s", "peak": "80/s"},
                    "prompt_tokens": {"p50": 180, "p99": 900},
                    "completion_tokens": {"p50": 60, "p99": 128},
                },
                "slo": {"ttft_p99": "400ms", "e2e_p99": "2s"},
                "budget": {"usd_per_month": 100},
                "shipping": {
                    "target": "ecs",
                    "image": {"uri": IMAGE},
                    "keys_secret_arn": KEYS,
                    **shipping,
                },
            }
        )
    )
    return path


def _given_network(folder: Path) -> Path:
    ec2 = boto3.client("ec2", region_name=REGION)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    return _spec(folder, network={"vpc_id": vpc, "subnets": subnets})


def run(verb: str, spec: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [verb, str(spec), "--plan", "plan.json", *arguments])


def _error(result: Result) -> PilotageError:
    assert isinstance(result.exception, PilotageError), result.output
    return result.exception


def test_render_writes_what_is_reviewed_and_spares_what_others_wrote(spec: Path) -> None:
    done = run("render", spec, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["folder"] == "ship/receipts"
    template = spec.parent / "ship" / "receipts" / "template.yaml"
    assert str(template.relative_to(spec.parent)) in told["files"]
    assert "AWS::ECS::Service" in template.read_text()
    template.write_text(template.read_text() + "# by hand\n")
    again = run("render", spec)
    assert "was edited" in str(_error(again))
    assert template.read_text().endswith("# by hand\n")
    assert run("render", spec, "-o", "elsewhere").exit_code == 0
    assert (spec.parent / "elsewhere" / "template.yaml").exists()


def test_what_breaks_a_rule_is_not_rendered(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilotage.ship import rules
    from pilotage.ship.rules import Broken

    broken = Broken(
        rule="grace", where="Service.Grace", found="0", limit="at least 840", fix="Set it to 840"
    )
    monkeypatch.setattr(rules, "check_rules", lambda *_: [broken])
    for verb in ("render", "diff", "apply"):
        error = _error(run(verb, spec))
        assert isinstance(error, UsageError)
        assert "Service.Grace: 0; at least 840" in error.message
        assert error.hint == "Set it to 840"
    assert not (spec.parent / "ship").exists()


def test_cost_is_told_line_by_line_and_held_against_the_budget(spec: Path) -> None:
    told = json.loads(run("cost", spec, "--json").stdout)
    assert told["usd_per_month_desired"] == pytest.approx(
        sum(one["usd"] for one in told["bills"]["desired"]["charges"])
    )
    assert told["usd_per_month_least"] <= told["usd_per_month_most"]
    shown = run("cost", spec).stdout
    assert "above the budget of 100 USD a month" in shown


def test_the_whole_life_by_the_command(front: Front, model: ModelServer, spec: Path) -> None:
    spec = _given_network(spec.parent)
    quick = ("--yes", "--poll", "100ms", "--timeout", "20s")
    assert json.loads(run("status", spec, "--json").stdout)["state"] == "absent"

    difference = json.loads(run("diff", spec, "--json").stdout)
    assert difference["new"]
    assert {one["action"] for one in difference["changes"]} == {"add"}

    applied = run("apply", spec, *quick, "--json", "--address", model.url)
    assert applied.exit_code == 0, (applied.output, applied.exception)
    told = json.loads(applied.stdout)
    assert told["applied"]
    assert told["answered"]
    assert told["cost"]["usd_per_month_desired"] > 0
    notes = [json.loads(line) for line in applied.stderr.splitlines()]
    assert [one["step"] for one in notes][-1] == "completion"

    status = run("status", spec).stdout
    assert f"{NAME}: CREATE_COMPLETE" in status
    assert "2 of 2 run, 2 healthy" in status
    assert "nothing changes" in run("diff", spec).stdout

    smoke = json.loads(run("smoke", spec, "-n", "2", "--address", model.url, "--json").stdout)
    assert smoke["answers"] == 2
    assert smoke["tokens_per_s"] > 0

    _log("the model is ready")
    assert "the model is ready" in run("logs", spec).stdout
    assert json.loads(run("logs", spec, "--json").stdout)["text"] == "the model is ready"

    gone = run("destroy", spec, *quick)
    assert gone.exit_code == 0, (gone.output, gone.exception)
    assert f"{NAME} is gone." in gone.stdout
    assert "AWS::Logs::LogGroup" in gone.stdout
    again = json.loads(run("destroy", spec, *quick, "--purge", "--json").stdout)
    assert not again["existed"]
    assert again["leftovers"] == []
    assert json.loads(run("status", spec, "--json").stdout)["state"] == "absent"
    del front


def _log(text: str) -> None:
    import time

    logs = boto3.client("logs", region_name=REGION)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"]
    name = group["logGroupName"]
    logs.create_log_stream(logGroupName=name, logStreamName="server/1")
    logs.put_log_events(
        logGroupName=name,
        logStreamName="server/1",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": text}],
    )


def test_without_yes_and_a_terminal_nothing_is_done(front: Front, spec: Path) -> None:
    spec = _given_network(spec.parent)
    error = _error(run("apply", spec, "--poll", "100ms"))
    assert error.where == "--yes"
    assert "CreateChangeSet" not in front.actions()


def test_what_is_lost_is_said_in_red(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from pilotage.cli.ship_screen import show_difference
    from pilotage.ship.lifecycle import Change, Difference

    console = Console(force_terminal=True, color_system="standard", width=200, highlight=False)
    show_difference(
        console,
        Difference(
            where="stack x",
            changes=(
                Change(action="add", name="A", type="T"),
                Change(action="replace", name="B", type="T", id="b", fields=("Properties.Name",)),
                Change(action="remove", name="C", type="T", id="c"),
            ),
        ),
    )
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b[1;31m  ± B" in lines[2]
    assert "IS REPLACED" in lines[2]
    assert "\x1b[1;31m  - C" in lines[3]
    assert "2 of 3 lose what they hold" in lines[4]


def test_a_quota_is_checked_before_anything_is_made(front: Front, spec: Path) -> None:
    spec = _given_network(spec.parent)
    front.answers["GetServiceQuota"] = quota(4)
    error = _error(run("apply", spec, "--yes", "--poll", "100ms"))
    assert isinstance(error, ResourceError)
    assert "L-DB2E81BA" in error.message
    assert "CreateChangeSet" not in front.actions()


def test_a_plan_in_which_nothing_fits_is_refused_with_its_reason(spec: Path) -> None:
    (spec.parent / "plan.json").write_text(
        json.dumps({"schema": "pilotage.plan-infeasible/1", "name": "receipts"})
    )
    error = _error(run("apply", spec, "--yes"))
    assert isinstance(error, SpecError)
    assert "nothing fits" in error.message


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("--target", "heroku"), "--target"),
        (("--parameter", "nonsense"), "--parameter"),
        (("--address", "ftp://x"), "--address"),
    ],
)
def test_wrong_flags_are_named(
    front: Front, spec: Path, arguments: tuple[str, str], where: str
) -> None:
    error = _error(run("apply", spec, "--yes", *arguments))
    assert isinstance(error, UsageError)
    assert error.where == where
    assert front.actions() == []


def test_a_target_that_is_only_rendered_says_what_applies_it(spec: Path) -> None:
    error = _error(run("status", spec, "--target", "terraform"))
    assert "terraform apply" in str(error.hint)
