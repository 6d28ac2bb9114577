"""checkov finds nothing in any template that the template does not explain.

One run looks at all of them: most of its time is its start.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from goldens import GOLDEN
from hosted_shipments import ENDPOINTS, FUNCTIONS, kinds
from judges import CHECKOV, Checked, checkov_findings

from pilotage.ship.targets import target_of

pytestmark = pytest.mark.skipif(not CHECKOV.is_file(), reason="checkov is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept templates for ECS, `ecs-….yaml`, and those of the other AWS targets."""
    made = tmp_path_factory.mktemp("templates")
    for file in GOLDEN.glob("ecs-*/*.yaml"):
        (made / f"{file.parent.name}-{file.name}").write_text(file.read_text("utf-8"), "utf-8")
    for name, shipment in kinds({**ENDPOINTS, **FUNCTIONS}).items():
        rendered = target_of(shipment.target).render(shipment)
        (made / f"{name}.yaml").write_text(rendered.files["template.yaml"])
    return made


@pytest.fixture(scope="module")
def checked(folder: Path) -> list[Checked]:
    return checkov_findings(folder)


def test_nothing_is_found_that_is_not_explained(checked: list[Checked]) -> None:
    assert [one for one in checked if one.outcome == "failed"] == []
    passed = [one.file.startswith("ecs-") for one in checked if one.outcome == "passed"]
    assert passed.count(True) > 100
    assert passed.count(False) > 100


def test_no_exception_is_there_that_nothing_needs(checked: list[Checked], folder: Path) -> None:
    """It would be a hole that nobody looks through."""
    used = {one for one in checked if one.outcome == "skipped" and one.file.startswith("ecs-")}
    assert used == {
        Checked("skipped", file.name, f"{one['Type']}.{name}", skip["id"])
        for file in folder.glob("ecs-*")
        for name, one in yaml.safe_load(file.read_text("utf-8"))["Resources"].items()
        for skip in explained(one)
    }


def test_the_exception_of_a_public_url_is_used(checked: list[Checked]) -> None:
    url = Checked("skipped", "public.yaml", "AWS::Lambda::Url.FunctionUrl", "CKV_AWS_258")
    assert url in checked


def explained(resource: dict[str, object]) -> list[dict[str, str]]:
    metadata = resource.get("Metadata")
    assert metadata is None or isinstance(metadata, dict)
    skips: list[dict[str, str]] = (metadata or {}).get("checkov", {}).get("skip", [])
    assert all(len(skip["comment"]) > 40 for skip in skips)
    return skips
