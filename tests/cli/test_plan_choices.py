"""What a plan may choose from: by flags, and by the target that a spec has settled on."""

import json
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.cli.plan_choices import instance_types, strategies_of
from pilotage.errors import UsageError
from pilotage.plan.engine_choice import ON_INSTANCES
from pilotage.plan.question import STRATEGIES
from pilotage.ship.choosing import STRATEGIES_OF_TARGET
from pilotage.spec.shipping import ShippingSpec, TargetName

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_only_the_named_instance_types_are_planned() -> None:
    spec = EXAMPLES / "house_model.yaml"
    found = CliRunner().invoke(
        app, ["plan", str(spec), "--instance-type", "g5.2xlarge", "--ttft-p99", "2.5s", "--json"]
    )
    assert found.exit_code == 0, found.output
    plan = json.loads(found.stdout)
    assert plan["deployment"]["instance_type"] == "g5.2xlarge"
    others = [one["deployment"].get("instance_type") for one in plan["runners_up"]]
    assert set(others) <= {"g5.2xlarge"}
    # The spec's target is ECS.
    assert plan["deployment"]["strategy"] == "ecs-gpu"
    assert any("shipping.target" in note["text"] for note in plan["notes"])


def test_sagemakers_names_are_ec2s_with_a_prefix() -> None:
    assert instance_types(["ml.g5.2xlarge", " g6e.xlarge "]) == ("g5.2xlarge", "g6e.xlarge")
    assert instance_types([]) == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("g5.9xlarge", r'"g5\.9xlarge" is no instance type.*g5\.2xlarge'),
        ("m5.large", "m5.large"),
        ("\x1b[2J", "is no instance type"),
    ],
)
def test_other_types_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        instance_types([name])
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("target", get_args(TargetName))
def test_a_settled_target_leaves_its_strategies(target: TargetName) -> None:
    shipping = ShippingSpec(target=target)
    found, notes = strategies_of((), shipping, on_instances=False)
    assert found
    assert set(found) == set(STRATEGIES_OF_TARGET[target])
    assert notes
    assert strategies_of(("machine",), shipping, on_instances=False) == (("machine",), ())


def test_without_a_target_all_are_looked_at() -> None:
    assert strategies_of((), ShippingSpec(), on_instances=False) == (STRATEGIES, ())
    found, _ = strategies_of((), None, on_instances=True)
    assert set(found) == set(ON_INSTANCES)


def test_instances_and_a_provider_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="no instances of one's own"):
        strategies_of(("bedrock-on-demand",), None, on_instances=True)
    with pytest.raises(UsageError, match='"cloud" is no strategy'):
        strategies_of(("cloud",), None, on_instances=False)
