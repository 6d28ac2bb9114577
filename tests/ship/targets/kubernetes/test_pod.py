"""The pod: time to load, time to stop, no privileges, weights fetched once."""

from dataclasses import replace

import pytest
import shipments
from kubernetes_manifests import by_kind, captions, finance, pod_of, receipts, resized

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.workload import config_map


def test_the_startup_probe_lasts_as_long_as_the_grace() -> None:
    for grace in (1, 30, 845, 7200):
        shipment = resized(receipts(), grace_s=grace)
        server = pod_of(shipment)["containers"][0]
        probe = server["startupProbe"]
        assert probe["httpGet"]["path"] == "/health/startup"
        assert grace <= probe["periodSeconds"] * probe["failureThreshold"] < grace + 10
        assert "initialDelaySeconds" not in server["livenessProbe"]
        assert server["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert server["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_a_rollout_is_not_given_up_while_a_model_may_still_load() -> None:
    shipment = receipts()
    spec = by_kind(shipment)["Deployment"]["spec"]
    sizing = shipment.sizing
    assert spec["progressDeadlineSeconds"] > max(600, sizing.grace_s + sizing.fetch_s)


def test_a_pod_has_its_drain_after_the_endpoints_are_told() -> None:
    pod = pod_of(resized(receipts(), drain_s=300, stop_s=120))
    wait = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert wait > 0
    assert pod["terminationGracePeriodSeconds"] >= 300 + wait


def test_requests_equal_limits() -> None:
    for shipment, device in (
        (receipts(), {"nvidia.com/gpu": "1"}),
        (finance(), {"nvidia.com/gpu": "4"}),
        (captions(), {"aws.amazon.com/neuron": "1"}),
        (resized(receipts(), gpus=0), {}),
    ):
        found = pod_of(shipment)["containers"][0]["resources"]
        cpu = f"{shipment.sizing.task_cpu * 1000 // 1024}m"
        expected = {"cpu": cpu, "memory": f"{shipment.sizing.task_memory_mib}Mi", **device}
        assert found == {"requests": expected, "limits": expected}
        tolerated = {one["key"] for one in pod_of(shipment).get("tolerations", ())}
        assert tolerated == set(device)


def test_nothing_is_root_but_what_hands_a_node_folder_over() -> None:
    pod = pod_of(receipts())
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in (*pod["initContainers"], *pod["containers"]):
        own = one["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"]["drop"] == ["ALL"]
        root = own.get("runAsUser") == 0
        assert root == (one["name"] == "own-folder")
        if root:
            assert own["capabilities"]["add"] == ["CHOWN"]
            assert [mount["mountPath"] for mount in one["volumeMounts"]] == ["/models"]


@pytest.mark.parametrize(
    ("shipment", "kind", "containers"),
    [
        (receipts(), "hostPath", ["own-folder", "fetch"]),
        (resized(receipts(), instance_store=False), "ephemeral", ["fetch"]),
        (
            resized(receipts(rollout="downtime"), instance_store=False, max_replicas=1),
            "persistentVolumeClaim",
            ["fetch"],
        ),
        # A claim that one node may mount would keep the new pod of a spare rollout from starting.
        (resized(receipts(), instance_store=False, max_replicas=1), "ephemeral", ["fetch"]),
    ],
    ids=["nvme", "a-volume-each", "a-claim", "one-with-spare"],
)
def test_where_weights_lie(shipment: object, kind: str, containers: list[str]) -> None:
    pod = pod_of(shipment)  # type: ignore[arg-type]
    models = next(one for one in pod["volumes"] if one["name"] == "models")
    assert kind in models
    assert [one["name"] for one in pod["initContainers"]] == containers
    text = str(models) + str(by_kind(shipment).get("PersistentVolumeClaim"))  # type: ignore[arg-type]
    if kind != "hostPath":
        assert f"{shipment.sizing.weights_gib}Gi" in text  # type: ignore[attr-defined]


def test_split_models_have_shared_memory() -> None:
    pod = pod_of(finance())
    volume = next(one for one in pod["volumes"] if one["name"] == "shm")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "16384Mi"}
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert mounts["shm"] == "/dev/shm"
    assert not any(one["name"] == "shm" for one in pod_of(receipts())["volumes"])


def test_pods_are_replaced_when_the_spec_changes() -> None:
    def noted(shipment: object) -> str:
        template = by_kind(shipment)["Deployment"]["spec"]["template"]  # type: ignore[arg-type]
        found: str = template["metadata"]["annotations"]["pilotage.dev/spec-sha256"]
        return found

    before = receipts()
    model = before.deployment.model.model_copy(update={"max_model_len": 2048})
    after = replace(before, deployment=before.deployment.model_copy(update={"model": model}))
    assert noted(before) == noted(receipts(tags={"team": "x"}))
    assert noted(before) == noted(receipts(scaling={"min": 2}))
    # `model_copy` sets the field, so it is among those that are written.
    assert noted(before) != noted(after)


def test_pods_of_the_revision_before_keep_their_spec() -> None:
    """A ConfigMap of one name would hand a new spec to old pods that are started again."""

    def maps(shipment: Shipment) -> tuple[str, str]:
        made = config_map(shipment)
        assert made["immutable"] is True
        volumes = pod_of(shipment)["volumes"]
        return made["metadata"]["name"], next(
            one["configMap"]["name"] for one in volumes if one["name"] == "spec"
        )

    before = receipts()
    model = before.deployment.model.model_copy(update={"max_model_len": 2048})
    after = replace(before, deployment=before.deployment.model_copy(update={"model": model}))
    for shipment in (before, after):
        made, mounted = maps(shipment)
        assert made == mounted
    assert maps(before) != maps(after)


def test_a_token_must_be_there_where_the_spec_names_one() -> None:
    def optional(shipment: object) -> bool:
        env = pod_of(shipment)["initContainers"][-1]["env"]  # type: ignore[arg-type]
        token = next(one for one in env if one["name"] == "HF_TOKEN")
        found: bool = token["valueFrom"]["secretKeyRef"]["optional"]
        return found

    assert optional(receipts()) is True
    assert optional(receipts(hub_token_secret_arn=shipments.TOKEN)) is False


def test_spot_is_never_or_preferred() -> None:
    never = pod_of(receipts())["affinity"]["nodeAffinity"]
    terms = never["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [one["operator"] for one in terms[0]["matchExpressions"]] == ["NotIn", "NotIn"]
    assert len(terms) == 1, "terms are alternatives: both must hold"
    some = pod_of(finance())["affinity"]["nodeAffinity"]
    assert set(some) == {"preferredDuringSchedulingIgnoredDuringExecution"}


@pytest.mark.parametrize(("rollout", "surge", "gone"), [("spare", 1, 0), ("downtime", 0, 1)])
def test_the_rollout_is_as_chosen(rollout: str, surge: int, gone: int) -> None:
    strategy = by_kind(receipts(rollout=rollout))["Deployment"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": gone}
