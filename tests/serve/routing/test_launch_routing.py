"""What a `routing:` section makes of a launch: which models are served, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from running import run_serve

from pilotage.errors import PilotageError, UsageError
from pilotage.serve.launch import plan_serving
from pilotage.serve.routing.checks import check_routing
from pilotage.serve.routing.served import check_tasks, served_specs
from pilotage.spec import Deployment

PRICE = {"input": 1, "output": 2}
REMOTE = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))


def tier(name: str, *backends: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "price": PRICE, "backends": list(backends), **fields}


def deployment(*tiers: dict[str, Any], **more: Any) -> Deployment:
    routing = {"tiers": list(tiers), **more.pop("routing", {})}
    return Deployment.model_validate({"routing": routing, **more})


def names(spec: Deployment) -> list[str]:
    return [model.name for model in served_specs(spec)]


def test_remote_tiers_alone_serve_no_model() -> None:
    spec = deployment(tier("far", REMOTE))
    assert names(spec) == []
    plan = plan_serving(spec, [])
    assert (plan.models, plan.slices, list(plan.prices)) == ((), (), ["far"])


def test_the_default_model_is_served_where_it_is_meant() -> None:
    default = Deployment().model.name
    assert names(deployment(tier("here", {}))) == [default]
    assert names(deployment(tier("here", {"model": default}), tier("far", REMOTE))) == [default]
    given = {"source": "/models/other.gguf"}
    assert names(deployment(tier("far", REMOTE), model=given)) == ["other"]
    further = {"models": [{"source": "/models/other.gguf"}]}
    assert names(deployment(tier("here", {"model": "other"}), serving=further)) == ["other"]
    assert names(Deployment()) == [default]


def test_a_local_model_that_is_not_served_is_named_with_its_tier() -> None:
    with pytest.raises(UsageError, match="'nowhere', which this server does not serve") as refusal:
        check_routing(deployment(tier("here", {}), tier("far", {"model": "nowhere"})), {})
    assert refusal.value.where == "routing.tiers[1].backends[0] (tier far)"
    assert refusal.value.exit_code == 2


def test_an_alias_may_answer_for_a_tier_but_not_share_its_name() -> None:
    default = Deployment().model.name
    aliases = {"aliases": {"mine": [{"model": default}]}}
    here = tier("here", {"model": "mine"}), tier("there", {})
    assert list(check_routing(deployment(*here, serving=aliases), {})) == ["here", "there"]
    with pytest.raises(UsageError, match="has the name of an alias"):
        check_routing(deployment(tier("mine", {}), serving=aliases), {})


def test_the_routed_name_is_no_models() -> None:
    spec = deployment(tier("here", {}), routing={"model": Deployment().model.name})
    with pytest.raises(UsageError, match="nothing would tell the two apart"):
        check_routing(spec, {})


def test_an_encoder_answers_for_no_tier() -> None:
    spec = deployment(tier("here", {}))
    with pytest.raises(UsageError, match="does embed"):
        check_tasks(spec, {Deployment().model.name: "embed"})
    check_tasks(spec, {Deployment().model.name: "generate"})


def test_a_key_that_is_not_in_the_environment() -> None:
    spec = deployment(tier("far", {**REMOTE, "api_key_env": "FAR_KEY"}))
    with pytest.raises(UsageError, match="FAR_KEY") as refusal:
        check_routing(spec, {})
    assert "far/0" in str(refusal.value)
    assert list(check_routing(spec, {"FAR_KEY": "sk-1"})) == ["far"]


def test_a_price_that_nobody_knows() -> None:
    with pytest.raises(PilotageError, match="far") as refusal:
        check_routing(deployment(tier("far", REMOTE, price=None)), {})
    assert refusal.value.exit_code == 2


def test_a_policy_that_nothing_speaks_for() -> None:
    spec = deployment(tier("near", REMOTE), tier("far", REMOTE), routing={"policy": "cascade"})
    with pytest.raises(UsageError, match="has not been shown to beat"):
        check_routing(spec, {})


def test_a_ledger_that_cannot_be(tmp_path: Path) -> None:
    spec = deployment(tier("far", REMOTE), routing={"ledger": {"path": str(tmp_path)}})
    with pytest.raises(PilotageError, match="ledger"):
        check_routing(spec, {})


def test_the_command_ends_with_one_line_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    routing = {"tiers": [tier("far", {**REMOTE, "api_key_env": "FAR_KEY"})]}
    path.write_text(yaml.safe_dump({"routing": routing}))
    code, said = run_serve(str(path), environment={"PILOTAGE_SOURCE": ""})
    assert (code, "FAR_KEY" in said, "Traceback" in said) == (2, True, False)
