"""What a workflow does, in which order, and with which rights."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from goldens import check_golden
from pipeline_cases import parsed, pipelines, scripts, steps, texts
from typer.main import get_command

from pilotage.cli.main import app
from pilotage.ship.pipeline import load_actions

COMMAND: Any = get_command(app)
TARGETS = list(pipelines())
CANARY = [name for name in TARGETS if name != "bedrock-provisioned"]
KEYED = ["ecs", "kubernetes", "kserve", "terraform", "closed", "no-promise"]


@pytest.mark.parametrize("name", ["ecs", "kubernetes", "lambda-bedrock", "terraform"])
def test_goldens(name: str) -> None:
    check_golden(f"pipeline-{name}", {"workflow.yml": texts()[name]})


def commands(text: str) -> list[list[str]]:
    """Every call of pilotage, its words as bash sees them."""
    calls = [
        found
        for script in scripts(text)
        for found in re.findall(r"pilotage ((?:spec|plan|ship|prove) [^|)\n]*)", script)
    ]
    values = {"SPEC": "spec.yaml", "PLAN": "plan.json", "DEPLOYMENT": "receipts"}
    return [
        shlex.split(re.sub(r"\$(\w+)", lambda one: values.get(one[1], "x"), call)) for call in calls
    ]


@pytest.mark.parametrize("name", TARGETS)
def test_every_command_is_one_that_pilotage_has(name: str) -> None:
    found = commands(texts()[name])
    assert len(found) >= 6
    for words in found:
        command = COMMAND
        while hasattr(command, "commands"):
            # Parses each word; a flag that is gone is an error of click's here.
            sub = "spec" if command.name == "plan" else words.pop(0)
            command = command.commands[sub]
        command.make_context(command.name, words)


@pytest.mark.parametrize("name", TARGETS)
def test_rights_are_the_least(name: str) -> None:
    text = texts()[name]
    whole = parsed(text)
    assert whole["permissions"] == {}
    for job, found in whole["jobs"].items():
        allowed = {"contents": "read"}
        allowed |= {"id-token": "write"} if "environment" in found else {}
        allowed |= {"deployments": "read"} if job == "promote" and name in CANARY else {}
        assert found["permissions"] == allowed
        assert 5 <= found["timeout-minutes"] < 360
        assert ("environment" in found) == (job != "check")
    for job, step in steps(text):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        if "${{ secrets." in str(step):
            assert job in {"canary", "promote"}
            assert all("secrets." not in str(step.get(key)) for key in ("run", "with", "if"))
    assert ("secrets." in text) == (name in KEYED)
    assert "AKIA" not in text


@pytest.mark.parametrize("name", TARGETS)
def test_no_script_holds_what_comes_from_outside(name: str) -> None:
    for script in scripts(texts()[name]):
        assert "${{" not in script
        for outside in ("receipts.yaml", "chatbot.yaml", "plan.json", "requirements/"):
            assert outside not in script


@pytest.mark.parametrize("name", TARGETS)
def test_actions_are_pinned_to_commits_with_their_version(name: str) -> None:
    used = re.findall(r"uses: (\S+)@(\S+) # (\S+)$", texts()[name], re.MULTILINE)
    assert len(used) == texts()[name].count("uses: ")
    actions = load_actions()
    assert all((actions[one].sha, actions[one].version) == (sha, tag) for one, sha, tag in used)
    assert all(re.fullmatch(r"[0-9a-f]{40}", one.sha) and one.source for one in actions.values())


@pytest.mark.parametrize("name", CANARY)
def test_the_canary_comes_first_and_always_goes(name: str) -> None:
    jobs = parsed(texts()[name])["jobs"]
    assert list(jobs) == ["check", "review", "canary", "remove", "promote"]
    assert jobs["canary"]["needs"] == ["check"]
    assert jobs["remove"]["needs"] == ["canary"]
    assert jobs["remove"]["if"] == "${{ always() && needs.canary.result != 'skipped' }}"
    assert jobs["promote"]["needs"] == ["canary", "remove"]
    text = texts()[name]
    for job, found in jobs.items():
        ran = "".join(one.get("run", "") for one in found["steps"])
        assert ("--canary" in ran) == (job in {"canary", "remove"})
    assert jobs["canary"]["environment"] == jobs["remove"]["environment"]
    assert jobs["promote"]["environment"] == pipelines()[name].name
    branch = pipelines()[name].branch
    for job in ("canary", "promote"):
        assert f"github.ref == 'refs/heads/{branch}'" in jobs[job]["if"]
    assert ("pilotage prove" in text) == (name in KEYED)


@pytest.mark.parametrize("name", CANARY)
def test_what_fails_is_followed_by_the_last_good_commit(name: str) -> None:
    promote = [step for job, step in steps(texts()[name]) if job == "promote"]
    back = [one for one in promote if one["name"].startswith("Back: ")]
    there = "failure() && steps.apply.outcome != 'skipped' && steps.last.outputs.sha != ''"
    assert {one["if"] for one in back} == {f"${{{{ {there} }}}}"}
    assert back[0]["with"]["ref"] == "${{ steps.last.outputs.sha }}"
    names = [one["name"] for one in promote]
    applied = promote[names.index("Apply")]
    again = promote[names.index("Back: apply")]
    assert again["run"] == applied["run"]
    assert again["env"]["SPEC"] == f"previous/{pipelines()[name].spec}"
    assert "id" not in again
    asked = promote[names.index("Smoke test")]
    assert back[-1]["run"] == asked["run"]
    assert names.index("Find what was promoted last") < names.index("Apply")


def test_model_units_are_bought_once_somebody_approved() -> None:
    jobs = parsed(texts()["bedrock-provisioned"])["jobs"]
    assert list(jobs) == ["check", "review", "promote"]
    assert jobs["promote"]["environment"] == "house"
    ran = [step["run"] for step in jobs["promote"]["steps"] if "run" in step]
    assert [one for one in ran if "ship apply" in one] == [
        'pilotage ship apply "$SPEC" --plan "$PLAN" --target bedrock-provisioned --yes\n'
    ]


def test_forks_and_bots_get_no_credentials() -> None:
    for text in texts().values():
        jobs = parsed(text)["jobs"]
        assert "head.repo.full_name == github.repository" in jobs["review"]["if"]
        assert "dependabot[bot]" in jobs["review"]["if"]
        assert not any("aws-actions" in one.get("uses", "") for one in jobs["check"]["steps"])
        assert "pull_request_target" not in text


def test_the_canary_has_its_share_of_the_load() -> None:
    # 20 requests a second at the peak, over two replicas.
    prove = next(one for one in scripts(texts()["ecs"]) if "pilotage prove" in one)
    assert "--rate 10/s --duration 10m --fail-on missed" in prove
    promised = next(one for one in scripts(texts()["no-promise"]) if "pilotage prove" in one)
    assert "--fail-on" not in promised


def test_deployments_wait_for_each_other_and_reviews_do_not() -> None:
    whole = parsed(texts()["closed"])
    assert (
        whole["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    )
    assert whole["concurrency"]["group"].startswith("pilotage-receipts-")
    assert whole["on"]["push"]["branches"] == ["release/1.x"]
    files = ["receipts.yaml", "plan.json", "requirements/pilotage.txt", "calibration.json"]
    assert whole["on"]["push"]["paths"][:4] == files
    assert {job["runs-on"] for job in whole["jobs"].values()} == {"in-the-vpc"}
    assert '--require-hashes --requirement "$REQUIREMENTS"' in texts()["closed"]
    values = [
        step["with"]
        for _, step in steps(texts()["closed"])
        if "aws-actions" in step.get("uses", "")
    ]
    assert {one["allowed-account-ids"] for one in values} == {"123456789012"}
