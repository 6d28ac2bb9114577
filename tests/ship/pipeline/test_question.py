"""What no workflow can deploy is refused, with the field and the fix; names never break it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pipeline_cases import IMAGE, ITSELF, KEYS, NEEDED, OPEN, VPC, asked, parsed, scripts, shipped
from ship_plans import plan, spec

from pilotage.errors import UsageError
from pilotage.ship.pipeline import canary, in_repository, repository, workflow
from pilotage.ship.pipeline.paths import literal
from pilotage.ship.sizing_of import prepare


def refused(
    target: Any, /, name: str = "receipts", *, runner: str = "", **shipping: Any
) -> UsageError:
    more = {"runner": runner} if runner else {}
    with pytest.raises(UsageError) as caught:
        asked(shipped(target, name=name, **shipping), **more)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


def test_this_machine_is_no_place_for_a_workflow() -> None:
    local = prepare(spec(shipping={"target": "local"}), None)
    with pytest.raises(UsageError) as caught:
        asked(local)
    assert caught.value.where == "--target local"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("target", ["ecs", "kubernetes"])
def test_an_image_of_its_own_proves_nothing(target: Any) -> None:
    found = refused(target, keys_secret_arn=KEYS, network=OPEN)
    assert found.where == "shipping.image.uri"


def test_no_key_is_printed_in_a_log() -> None:
    assert refused("ecs", image={"uri": IMAGE}, network=OPEN).where == "shipping.keys_secret_arn"


@pytest.mark.parametrize(
    ("network", "runner", "where"),
    [
        ({}, "", "shipping.network"),
        (VPC, "", "shipping.network"),
        ({"public": True, "allowed_cidrs": ["198.51.100.0/24"]}, "", "shipping.network"),
        ({}, "ours", "shipping.network.vpc_id"),
    ],
)
def test_who_asks_has_to_reach_it(network: dict[str, Any], runner: str, where: str) -> None:
    assert refused("ecs", runner=runner, **{**NEEDED, "network": network}).where == where


def test_a_name_that_would_be_cut_has_no_canary() -> None:
    # 38 letters, of which every Kubernetes object keeps its suffix.
    assert asked(shipped("kubernetes", name="x" * 38, **NEEDED)).name == "x" * 38
    assert refused("kubernetes", "x" * 39, **NEEDED).where == "--canary"


def test_the_canary_is_the_same_with_one_replica_and_another_name() -> None:
    scaling = {"min": 3, "max": 9, "metric": "p90_latency"}
    real = shipped("ecs", scaling=scaling, output="rendered", **NEEDED)
    alone = prepare(*canary(real.deployment, real.plan))
    assert (real.sizing.desired, alone.sizing.desired) == (3, 1)
    assert (alone.sizing.min_replicas, alone.sizing.max_replicas) == (1, 1)
    assert alone.name == "pilotage-receipts-canary"
    assert alone.tags["pilotage:deployment"] == "receipts-canary"
    assert real.shipping.output is not None
    assert alone.shipping.output is None
    assert alone.shipping.image == real.shipping.image
    assert alone.shipping.keys_secret_arn == real.shipping.keys_secret_arn
    assert alone.deployment.model == real.deployment.model
    assert alone.deployment.model_name == real.deployment.model_name


def test_the_canary_shares_its_instance_with_as_many_as_the_real_ones_do() -> None:
    real = spec(shipping={"target": "ecs"})
    alone, planned = canary(real, plan("g5.12xlarge", count=2, replicas=8, max_count=4))
    assert prepare(alone, planned).sizing.tasks_per_instance == 4
    assert canary(real, None)[1] is None


def test_the_root_is_the_repository_s(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    below = tmp_path / "models" / "receipts"
    below.mkdir(parents=True)
    assert repository(below) == tmp_path
    assert in_repository(below / "spec.yaml", tmp_path, where="SPEC") == "models/receipts/spec.yaml"
    with pytest.raises(UsageError, match="is not in the repository"):
        in_repository(tmp_path.parent / "spec.yaml", tmp_path, where="SPEC")


@pytest.mark.parametrize("name", ["a\nb.yaml", "${{ secrets.KEY }}.yaml", "-rf.yaml", "a\\b.yaml"])
def test_names_that_a_workflow_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a workflow") as caught:
        in_repository(tmp_path / name, tmp_path, where="SPEC")
    assert caught.value.hint is not None


REAL = shipped("ecs", **NEEDED)
BEFORE = parsed(workflow(asked(REAL), ITSELF))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(min_size=1, max_size=40))
@example(name="$(touch x).yaml")
@example(name="'; id; \"#: &a *b !c %d @e `f`.yaml")
@example(name="true")
@example(name="[a]{b}*?+!.yaml")
@example(name="$${{ github.token }}")
@example(name="}}' && id #")
def test_no_path_breaks_or_injects(name: str) -> None:
    root = Path("/repository")
    try:
        path = in_repository(root / name, root, where="SPEC")
    except (UsageError, ValueError):
        return  # a null byte is no path at all
    made = parsed(workflow(asked(REAL, spec=path), ITSELF))
    assert made["env"]["SPEC"] == path
    assert "${{" not in path
    assert made["on"]["push"]["paths"][0] == literal(path)
    back = {"SPEC": f"previous/{path}"}
    assert back.items() <= made["jobs"]["promote"]["steps"][-2]["env"].items()
    # All else is as it is for any other path.
    made["env"]["SPEC"] = "receipts.yaml"
    made["on"] = BEFORE["on"]
    for one in made["jobs"]["promote"]["steps"]:
        if "SPEC" in one.get("env", {}):
            one["env"]["SPEC"] = "previous/receipts.yaml"
    assert made == BEFORE


@settings(max_examples=5, deadline=None)
@given(name=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,36}[a-z0-9])?", fullmatch=True))
@example(name="on")
@example(name="null")
@example(name="0x10")
@example(name="1e3")
def test_every_name_of_a_deployment_stays_text(name: str) -> None:
    text = workflow(
        asked(shipped("kserve", name=name), kinds=frozenset({"LLMInferenceService"})), ITSELF
    )
    jobs = parsed(text)["jobs"]
    assert jobs["promote"]["environment"] == name
    assert jobs["canary"]["environment"] == f"{name}-canary"
    waited = next(one for one in scripts(text) if "kubectl" in one and " wait " in one)
    assert re.search(
        rf"llminferenceservice/pilotage-{re.escape(name)}-canary$", waited, re.MULTILINE
    )


def test_a_filter_matches_the_path_alone() -> None:
    assert literal("a/b-c_d.yaml") == "a/b-c_d.yaml"
    assert literal("a[1]*?+!.yaml") == r"a\[1\]\*\?\+\!.yaml"
