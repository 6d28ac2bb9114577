"""The lifecycle of manifests, through a kubectl in its place."""

import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from life import Witness, no_changes, shipment
from model_server import ModelServer
from shipments import finance, receipts

from pilotage.errors import PilotageError, ServeError, TargetError, UsageError
from pilotage.ship.lifecycle.kubernetes import LABEL, KubernetesLifecycle
from pilotage.ship.lifecycle.kubernetes.kubectl import NoClusterError
from pilotage.ship.lifecycle.kubernetes.objects import manifests, owned
from pilotage.ship.lifecycle.options import Options
from pilotage.ship.lifecycle.stack import NameCollisionError
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets import target_of
from pilotage.spec.shipping import TargetName

SHIPPED = shipment(target="kubernetes")
APIS = {"PersistentVolumeClaim": "v1", "Deployment": "apps/v1", "ScaledObject": "keda.sh/v1alpha1"}
APIS["HorizontalPodAutoscaler"] = "autoscaling/v2"


def _rendered(replicas: int = 2, *more: str) -> Rendered:
    labels = {LABEL: "receipts"}
    objects: list[dict[str, Any]] = [
        {"kind": "PersistentVolumeClaim", "spec": {"size": "1Gi"}},
        {"kind": "Deployment", "spec": {"replicas": replicas}},
        *({"kind": kind, "spec": {"maxReplicas": 3}} for kind in more),
    ]
    for one in objects:
        one["apiVersion"] = APIS[one["kind"]]
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


def _objects(kubectl: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.with_name("objects.json").read_text())
    return found


def _here(kubectl: Path, **options: Any) -> KubernetesLifecycle:
    waiting = Waiting(poll_s=0.01, limit_s=5)
    return KubernetesLifecycle(Options(waiting=waiting, **options), kubectl=str(kubectl))


def test_a_life_in_a_cluster(kubectl: Path, model: ModelServer) -> None:
    here = _here(kubectl, address=model.url)
    seen = Witness()
    assert here.status(SHIPPED).absent
    difference = here.diff(SHIPPED, _rendered())
    assert difference.new
    assert difference.where == "namespace default of the cluster test-cluster"
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
    gone = here.destroy(SHIPPED, agree=seen.agree, say=seen.say)
    assert [one.type for one in gone.leftovers] == ["PersistentVolumeClaim"]
    assert gone.hours is not None
    assert gone.hours > 0
    assert here.status(SHIPPED).absent
    assert not here.destroy(SHIPPED, agree=no_changes, say=seen.say).existed
    purged = _here(kubectl, purge=True).destroy(SHIPPED, agree=seen.agree, say=seen.say)
    assert purged.leftovers == ()
    applied = [one for one in _calls(kubectl) if one[0] == "apply"]
    assert all("--server-side" in one and "--force-conflicts" not in one for one in applied)


@pytest.mark.parametrize(
    ("shipped", "target"),
    [(receipts(), "kubernetes"), (finance(), "kserve")],
    ids=["deployment", "kserve"],
)
def test_what_is_really_rendered_is_applied_and_taken_away(
    shipped: Shipment, target: TargetName, kubectl: Path
) -> None:
    """Kustomizations are no objects; nothing that was made stays, PodMonitors neither."""
    shipped = replace(shipped, target=target)
    if target == "kserve":
        network = shipped.shipping.network.model_copy(update={"public": False})
        shipping = shipped.shipping.model_copy(update={"network": network})
        shipped = replace(shipped, shipping=shipping)
    rendered = target_of(target).render(shipped)
    assert not [one for one in manifests(rendered) if one["kind"] == "Kustomization"]
    here, seen = _here(kubectl, completion=False, purge=True), Witness()
    done = here.apply(shipped, rendered, agree=seen.agree, say=seen.say)
    assert {one.action for one in done.difference.changes} == {"add"}
    assert not here.status(shipped).absent
    assert here.diff(shipped, rendered).empty
    here.destroy(shipped, agree=seen.agree, say=seen.say)
    assert _objects(kubectl) == {}


def test_our_server_in_kserve_is_taken_away_whole(kubectl: Path) -> None:
    base = receipts()
    shipped = replace(base, target="kserve", sizing=replace(base.sizing, engine="transformers"))
    rendered = target_of("kserve").render(shipped)
    here, seen = _here(kubectl, completion=False), Witness()
    here.apply(shipped, rendered, agree=seen.agree, say=seen.say)
    assert {one["kind"] for one in _objects(kubectl).values()} >= {"PodMonitor", "InferenceService"}
    # What KServe makes of it has our labels, too, and goes with it.
    objects = _objects(kubectl)
    child = {
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2},
        "metadata": {
            "name": "pilotage-receipts-predictor", "labels": {LABEL: "receipts"},
            "ownerReferences": [{"kind": "InferenceService", "name": "pilotage-receipts"}],
        },
    }  # fmt: skip
    objects["deployment/pilotage-receipts-predictor"] = child
    kubectl.with_name("objects.json").write_text(json.dumps(objects))
    status = here.status(shipped)
    assert status.address == "http://gateway.example/default/x"
    assert here.diff(shipped, rendered).empty
    here.destroy(shipped, agree=seen.agree, say=seen.say)
    assert set(_objects(kubectl)) == {"deployment/pilotage-receipts-predictor"}


def test_what_kserve_does_not_get_ready_fails_with_its_words(kubectl: Path) -> None:
    base = receipts()
    shipped = replace(base, target="kserve", sizing=replace(base.sizing, engine="transformers"))
    kubectl.with_name("ready").write_text("False")
    here = KubernetesLifecycle(
        Options(waiting=Waiting(poll_s=0.01, limit_s=0.05)), kubectl=str(kubectl)
    )
    seen = Witness()
    with pytest.raises(ServeError, match="Loading"):
        here.apply(shipped, target_of("kserve").render(shipped), agree=seen.agree, say=seen.say)
    assert _objects(kubectl) == {}, "it was new, so nothing of it stays"


def test_what_is_not_ours_is_not_taken_over(kubectl: Path) -> None:
    kubectl.with_name("objects.json").write_text(
        json.dumps(
            {
                "deployment/pilotage-receipts": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {"name": "pilotage-receipts"},
                }
            }
        )
    )
    here, seen = _here(kubectl), Witness()
    with pytest.raises(NameCollisionError, match="name collision"):
        here.apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert not here.destroy(SHIPPED, agree=no_changes, say=seen.say).existed
    assert not [one for one in _calls(kubectl) if one[0] == "delete"]


def test_a_rollout_that_fails_is_put_back_and_its_lines_are_shown(kubectl: Path) -> None:
    here, seen = _here(kubectl, completion=False), Witness()
    here.apply(SHIPPED, _rendered(2, "HorizontalPodAutoscaler"), agree=seen.agree, say=seen.say)
    before = _objects(kubectl)
    kubectl.with_name("broken").write_text("7")
    with pytest.raises(ServeError, match="progress deadline"):
        here.apply(SHIPPED, _rendered(7, "ScaledObject"), agree=seen.agree, say=seen.say)
    assert "loading the model" in seen.text
    after = _objects(kubectl)
    assert set(after) == set(before), "the old autoscaler is back, the new one is gone"
    for what, one in before.items():
        assert after[what]["spec"] == one["spec"]
    # As ours, so that the next apply meets no other manager's fields.
    assert not [one for one in _calls(kubectl) if one[:2] == ["rollout", "undo"]]
    here.apply(SHIPPED, _rendered(3, "ScaledObject"), agree=seen.agree, say=seen.say)
    assert "horizontalpodautoscaler/pilotage-receipts" not in _objects(kubectl)


def test_a_first_rollout_that_fails_leaves_nothing_but_data_unless_told_to(kubectl: Path) -> None:
    kubectl.with_name("broken").write_text("2")
    seen = Witness()
    with pytest.raises(ServeError):
        _here(kubectl, keep=True).apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert "deployment/pilotage-receipts" in _objects(kubectl)
    _here(kubectl, purge=True).destroy(SHIPPED, agree=seen.agree, say=seen.say)
    with pytest.raises(ServeError):
        _here(kubectl).apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert set(_objects(kubectl)) == {"persistentvolumeclaim/pilotage-receipts"}


def test_a_change_that_does_not_answer_is_put_back(kubectl: Path, model: ModelServer) -> None:
    seen = Witness()
    _here(kubectl, address=model.url).apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    model.replies = [(400, {"error": "no"})]
    with pytest.raises(TargetError, match="answers 400"):
        _here(kubectl, address=model.url).apply(
            SHIPPED, _rendered(5), agree=seen.agree, say=seen.say
        )
    assert _objects(kubectl)["deployment/pilotage-receipts"]["spec"]["replicas"] == 2


def test_what_is_no_longer_rendered_is_said_and_removed(kubectl: Path) -> None:
    here, seen = _here(kubectl, completion=False), Witness()
    here.apply(SHIPPED, _rendered(2, "HorizontalPodAutoscaler"), agree=seen.agree, say=seen.say)
    changes = {(one.action, one.type) for one in here.diff(SHIPPED, _rendered()).changes}
    assert changes == {("remove", "HorizontalPodAutoscaler")}
    here.apply(SHIPPED, _rendered(), agree=seen.agree, say=seen.say)
    assert "horizontalpodautoscaler/pilotage-receipts" not in _objects(kubectl)
    assert here.diff(SHIPPED, _rendered()).empty


def test_what_was_applied_is_read_from_the_record_of_managers() -> None:
    live = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "x", "namespace": "n", "uid": "1", "labels": {"a": "1", "b": "2"},
            "finalizers": ["mine", "theirs"],
            "managedFields": [
                {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {}}},
                {"manager": "pilotage", "operation": "Apply", "fieldsV1": {
                    "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {
                        ".": {}, 'v:"mine"': {}}},
                    "f:spec": {"f:template": {"f:spec": {"f:containers": {
                        'k:{"name":"server"}': {".": {}, "f:name": {}, "f:args": {}}}}}},
                }},
            ],
        },
        "spec": {
            "replicas": 9,
            "template": {"spec": {"containers": [
                {"name": "sidecar", "image": "z"},
                {"name": "server", "args": ["1", "2"], "imagePullPolicy": "Always"},
            ]}},
        },
        "status": {"readyReplicas": 9},
    }  # fmt: skip
    assert owned(live) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "x", "namespace": "n", "labels": {"a": "1"}, "finalizers": ["mine"],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "server", "args": ["1", "2"]}]}}},
    }  # fmt: skip


def test_logs_are_in_their_order(kubectl: Path) -> None:
    lines = list(_here(kubectl).logs(SHIPPED, since_s=60, most=5, follow=False))
    assert [(one.stream, one.text) for one in lines] == [
        ("pod/a/server", "loading the model"),
        ("pod/b/server", "ready"),
    ]
    assert [one.at.second for one in lines] == [0, 2]
    (last,) = _here(kubectl).logs(SHIPPED, since_s=60, most=1, follow=False)
    assert last.text == "ready"


def test_followed_logs_go_on_with_the_pods_that_come_next_and_end_when_told(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.ship.lifecycle.kubernetes.logs._AGAIN_S", 0.01)
    kubectl.with_name("log").write_text(
        json.dumps([[["03", "one"], ["04", "two"]], [["05", "three"]]])
    )
    lines = _here(kubectl).logs(SHIPPED, since_s=60, most=5, follow=True)
    texts = [one.text for one in itertools.islice(lines, 4)]
    assert texts == ["loading the model", "ready", "one", "two"]
    assert next(lines).text == "three", "a second kubectl: the first one's pods were gone"
    kubectl.with_name("log").write_text(json.dumps([[["06", "four"]]]))
    assert next(lines).text == "four"
    lines.close()  # type: ignore[attr-defined]
    last = [one for one in _calls(kubectl) if "--follow" in one][-1]
    assert "--since-time=2026-11-22T10:00:05Z" in last
    assert not [
        one for one in psutil.Process().children(recursive=True) if str(kubectl) in one.cmdline()
    ]


def test_a_kubectl_that_follows_ends_with_the_command(kubectl: Path) -> None:
    """As Ctrl-C ends it: the iteration is closed while nothing is written."""
    import signal
    import subprocess

    code = (
        "import sys\n"
        "from pilotage.ship.lifecycle.kubernetes.kubectl import Kubectl\n"
        "print('begins', flush=True)\n"
        "try:\n"
        "    list(Kubectl(sys.argv[1], 'default').lines('logs', '--follow'))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(kubectl)], stdout=subprocess.PIPE, text=True
    )
    following = kubectl.with_name("following")
    with child:
        while not following.exists() or not following.read_text():
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=20)
    assert said.split() == ["begins", "interrupted"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(following.read_text()), 0)


def _lacks_secret(folder: Path) -> None:
    (folder / "secrets").write_text("pilotage-receipts-metrics")


def _lacks_kind(folder: Path) -> None:
    (folder / "unknown").write_text("ServiceMonitor ScaledObject")


def _lacks_namespace(folder: Path) -> None:
    (folder / "unknown").write_text("namespace")


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (_lacks_secret, "lacks the Secret pilotage-receipts-keys"),
        (_lacks_kind, "does not know ServiceMonitor"),
        (_lacks_namespace, 'has no namespace "default"'),
    ],
)
def test_what_is_missing_is_said_before_anything_is_applied(
    breaks: Callable[[Path], None], said: str, kubectl: Path
) -> None:
    breaks(kubectl.parent)
    shipped = replace(receipts(), target="kubernetes")
    with pytest.raises(UsageError, match=said) as refused:
        _here(kubectl).apply(
            shipped, target_of("kubernetes").render(shipped), agree=no_changes, say=Witness().say
        )
    assert refused.value.hint
    applied = [one for one in _calls(kubectl) if one[0] == "apply"]
    assert all("--dry-run=server" in one for one in applied)


def test_a_cluster_that_does_not_answer_is_one_line(kubectl: Path) -> None:
    kubectl.with_name("error").write_text(
        'E1122 10:00:00.1 99 memcache.go:265] "Unhandled Error" err="couldn\'t get list"\n'
        "The connection to the server localhost:8080 was refused - did you specify the right host "
        "or port?\n"
    )
    verbs: list[Callable[[KubernetesLifecycle], object]] = [
        lambda here: here.status(SHIPPED),
        lambda here: here.diff(SHIPPED, _rendered()),
        lambda here: here.destroy(SHIPPED, agree=no_changes, say=Witness().say),
        lambda here: list(here.logs(SHIPPED, since_s=1, most=1, follow=True)),
    ]
    for verb in verbs:
        with pytest.raises(NoClusterError, match="localhost:8080 was refused") as refused:
            verb(_here(kubectl))
        assert "memcache" not in str(refused.value)
        assert "current-context" in str(refused.value.hint)


def test_without_kubectl_it_says_what_else_can_be_done(tmp_path: Path) -> None:
    here = KubernetesLifecycle(Options(), kubectl=str(tmp_path / "none"))
    assert shutil.which(here.kubectl) is None
    with pytest.raises(UsageError, match="kubectl is not installed"):
        here.status(SHIPPED)
    with pytest.raises(PilotageError, match="kubectl is not installed"):
        list(here.logs(SHIPPED, since_s=1, most=1, follow=True))
