"""The lifecycle of manifests, through a kubectl in its place."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from life import Witness, no_changes, shipment
from model_server import ModelServer

from pilotage.errors import ServeError, UsageError
from pilotage.ship.lifecycle.cloudformation import Options
from pilotage.ship.lifecycle.kubernetes import LABEL, KubernetesLifecycle
from pilotage.ship.lifecycle.stack import NameCollisionError
from pilotage.ship.target import Rendered

SHIPPED = shipment(target="kubernetes")


def _rendered(replicas: int = 2) -> Rendered:
    labels = {LABEL: "receipts"}
    objects = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"size": "1Gi"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}},
    ]
    for one in objects:
        one["metadata"] = {"name": "pilotage-receipts", "labels": labels}
    return Rendered(files={"all.yaml": yaml.safe_dump_all(objects), "README.md": "kind: no"})


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """The stand-in, with a cluster of its own."""
    source = Path(__file__).with_name("fake_kubectl.py").read_text()
    command = tmp_path / "kubectl"
    command.write_text(f"#!{sys.executable} -SE\n{source}")
    command.chmod(0o755)
    return command


def _calls(kubectl: Path) -> list[list[str]]:
    lines = kubectl.with_name("calls.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_life_in_a_cluster(kubectl: Path, model: ModelServer) -> None:
    here = KubernetesLifecycle(Options(address=model.url), kubectl=str(kubectl))
    seen = Witness()
    assert here.status(SHIPPED).absent
    assert here.diff(SHIPPED, _rendered()).new
    done = here.apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert done.answered
    assert done.status is not None
    assert done.status.state == "ready"
    assert here.diff(SHIPPED, _rendered()).empty
    here.apply(SHIPPED, _rendered(), agree=no_changes, say=seen.say)
    (change,) = here.diff(SHIPPED, _rendered(3)).changes
    assert (change.action, change.type, change.fields) == (
        "change",
        "Deployment",
        ("spec.replicas",),
    )
    (line,) = here.logs(SHIPPED, since_s=60, most=5, follow=False)
    assert (line.stream, line.text) == ("pod/a/server", "loading the model")
    gone = here.destroy(SHIPPED, agree=seen.agree, say=seen.say)
    assert [one.type for one in gone.leftovers] == ["PersistentVolumeClaim"]
    assert here.status(SHIPPED).absent
    purged = KubernetesLifecycle(Options(purge=True), kubectl=str(kubectl)).destroy(
        SHIPPED, agree=seen.agree, say=seen.say
    )
    assert purged.leftovers == ()
    applied = [one for one in _calls(kubectl) if one[0] == "apply"]
    assert all("--server-side" in one and "--force-conflicts" not in one for one in applied)


def test_what_is_not_ours_is_not_taken_over(kubectl: Path) -> None:
    kubectl.with_name("objects.json").write_text(
        json.dumps(
            {
                "deployment/pilotage-receipts": {
                    "kind": "Deployment",
                    "metadata": {"name": "pilotage-receipts"},
                }
            }
        )
    )
    here, seen = KubernetesLifecycle(Options(), kubectl=str(kubectl)), Witness()
    with pytest.raises(NameCollisionError, match="name collision"):
        here.apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert not here.destroy(SHIPPED, agree=no_changes, say=seen.say).existed
    assert not [one for one in _calls(kubectl) if one[0] == "delete"]


def test_a_rollout_that_fails_is_undone_and_its_lines_are_shown(kubectl: Path) -> None:
    kubectl.with_name("broken").touch()
    here, seen = KubernetesLifecycle(Options(), kubectl=str(kubectl)), Witness()
    with pytest.raises(ServeError, match="progress deadline"):
        here.apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert "loading the model" in seen.text
    assert ["rollout", "undo"] in [one[:2] for one in _calls(kubectl)]


def test_without_kubectl_it_says_what_else_can_be_done(tmp_path: Path) -> None:
    here = KubernetesLifecycle(Options(), kubectl=str(tmp_path / "none"))
    assert shutil.which(here.kubectl) is None
    with pytest.raises(UsageError, match="kubectl is not installed"):
        here.status(SHIPPED)
