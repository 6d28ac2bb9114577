"""Each story from its spec to what is shipped: planned, rendered within all rules, priced."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pilotage.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples"
STORIES = ("receipts", "finance", "house_model", "inferentia", "support")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def resources(folder: Path) -> dict[str, dict]:
    return yaml.safe_load((folder / "template.yaml").read_text())["Resources"]


@pytest.mark.parametrize("story", STORIES)
def test_a_story_is_planned_rendered_and_priced(story: str, tmp_path: Path) -> None:
    spec, plan, folder = EXAMPLES / f"{story}.yaml", tmp_path / "plan.json", tmp_path / "out"
    run("plan", spec, "-o", plan)
    chosen = json.loads(plan.read_text())
    run("ship", "render", spec, "--plan", plan, "-o", folder)
    made = resources(folder)
    (template,) = [one for one in made.values() if one["Type"] == "AWS::EC2::LaunchTemplate"]
    data = template["Properties"]["LaunchTemplateData"]
    assert data.get("InstanceType") == chosen["deployment"]["instance_type"]
    (service,) = [one for one in made.values() if one["Type"] == "AWS::ECS::Service"]
    # It fetches and loads before it is judged.
    assert service["Properties"]["HealthCheckGracePeriodSeconds"] >= 180
    policies = [one for one in made.values() if one["Type"].endswith("::ScalingPolicy")]
    held = json.dumps(policies)
    assert ('"Stat": "p90"' in held) is (story in ("receipts", "finance"))
    cost = json.loads(run("ship", "cost", spec, "--plan", plan, "--json"))
    # Availability may ask for more than the load does, and a load balancer costs something.
    assert cost["usd_per_month_desired"] > chosen["predictions"]["usd_per_month"] * 0.99
