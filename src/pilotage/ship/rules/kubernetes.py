"""Rules of Kubernetes manifests: room, ends, privileges, scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pilotage.ship.rules.pods import accelerators, documents, pods
from pilotage.ship.rules.reading import at, items, number, pinned, text
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment
from pilotage.units import UnitError, parse_size

_DEFAULT_GRACE: Final = 30
_KSERVE_PRE_STOP: Final = 15.0
"""Of the preset of KServe 0.20."""
_MIB: Final = 1 << 20
_KUBERNETES: Final = "Kubernetes documentation"


@rule(
    "k8s-accelerators",
    what="The API server refuses a pod whose accelerators differ between requests and limits; "
    "without limits it gets none.",
    limit="accelerators stand in limits, as many as planned; requests are the same or left out",
)
def _k8s_accelerators(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    planned = shipment.sizing.gpus or shipment.sizing.neuron_devices
    for pod in pods(rendered):
        if not pod.stays:
            continue
        name, one = pod.serving
        limits, requests = accelerators(one, "limits"), accelerators(one, "requests")
        asked = sum(int(number(value) or 0) for value in limits.values())
        if (requests and requests != limits) or asked != planned:
            yield Finding(
                f"{pod.where}.{name}.resources.limits",
                f"limits {limits or 'none'}, requests {requests or 'none'}, planned {planned}",
                f"Set both to {planned}",
            )


@rule(
    "k8s-shm",
    what="Ranks of a split model talk through /dev/shm; with the 64 MiB of a default they hang.",
    limit="an emptyDir with medium Memory of at least the sizing's size is mounted at /dev/shm",
)
def _k8s_shm(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    needed = shipment.sizing.shm_mib
    for pod in pods(rendered):
        if not needed or not pod.stays:
            continue
        name, one = pod.serving
        mounted = {
            text(at(part, "name"))
            for part in items(one, "volumeMounts")
            if at(part, "mountPath") == "/dev/shm"  # noqa: S108 — it is that very folder
        }
        sizes = [
            _mib(at(part, "emptyDir", "sizeLimit"))
            for part in items(pod.spec, "volumes")
            if at(part, "name") in mounted and at(part, "emptyDir", "medium") == "Memory"
        ]
        # Without a limit it may take half of the node's memory: enough.
        if not any(size is None or size >= needed for size in sizes):
            yield Finding(
                f"{pod.where}.{name}.volumeMounts[/dev/shm]",
                f"{sizes[0]:g} MiB" if sizes else "not mounted",
                f"Mount an emptyDir with medium: Memory and sizeLimit: {needed}Mi",
            )


@rule(
    "k8s-disruption",
    what="A node is never drained: the last pod may not go, and no upgrade ends.",
    limit="a PodDisruptionBudget lets one pod go: minAvailable below the fewest replicas, or "
    "maxUnavailable from 1",
    source=f"{_KUBERNETES}, disruptions",
)
def _k8s_disruption(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    fewest = _fewest(rendered, shipment)
    for where, document in documents(rendered):
        if document.get("kind") != "PodDisruptionBudget":
            continue
        least, most = at(document, "spec", "minAvailable"), at(document, "spec", "maxUnavailable")
        blocked = _share(least, fewest) >= fewest if least is not None else _share(most, fewest) < 1
        if blocked:
            yield Finding(
                f"{where}.spec.{'minAvailable' if least is not None else 'maxUnavailable'}",
                f"{least if least is not None else most} of {fewest} replica(s)",
                "Write maxUnavailable: 1",
            )


@rule(
    "k8s-stop",
    what="SIGKILL comes while requests that were promised an end are still running.",
    limit="terminationGracePeriodSeconds is at least the drain deadline and what preStop sleeps, "
    "which is part of it",
    source=f"{_KUBERNETES}: 30 s by default; container lifecycle hooks",
)
def _k8s_stop(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        sleeps = number(at(pod.serving[1], "lifecycle", "preStop", "sleep", "seconds")) or 0
        if pod.filled_in:
            sleeps = _KSERVE_PRE_STOP
        needed = shipment.sizing.drain_s + sleeps
        value = number(pod.spec.get("terminationGracePeriodSeconds"))
        value = _DEFAULT_GRACE if value is None else value
        if pod.stays and value < needed:
            yield Finding(
                f"{pod.where}.terminationGracePeriodSeconds",
                f"{value:g} s, the drain takes {shipment.sizing.drain_s} s after {sleeps:g} s of "
                "preStop",
                f"Set it to {max(shipment.sizing.stop_s, shipment.sizing.drain_s) + sleeps:g}",
            )


@rule(
    "k8s-claim",
    what="The second pod waits without an end for a volume that the first one's node holds, and "
    "the rollout with it.",
    limit="a claim that one node may mount has one pod: one replica, replaced without a pod beside "
    "it (maxSurge 0); more have volumes of their own",
    source=f"{_KUBERNETES}, persistent volumes: access modes",
)
def _k8s_claim(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    single = {
        at(document, "metadata", "name"): where
        for where, document in documents(rendered)
        if document.get("kind") == "PersistentVolumeClaim"
        and not set(items(document, "spec", "accessModes")) & {"ReadWriteMany", "ReadOnlyMany"}
    }
    surge = any(
        _share(at(document, "spec", *path, "rollingUpdate", "maxSurge", default="25%"), 4) > 0
        for _, document in documents(rendered)
        for path in (("strategy",), ("predictor", "deploymentStrategy"))
        if at(document, "spec", *path) is not None
        and at(document, "spec", *path, "type") != "Recreate"
    )
    for pod in pods(rendered):
        for volume in items(pod.spec, "volumes"):
            name = at(volume, "persistentVolumeClaim", "claimName")
            if name in single and (shipment.sizing.max_replicas > 1 or surge):
                yield Finding(
                    f"{pod.where}.volumes[{name}]",
                    f"ReadWriteOnce, {shipment.sizing.max_replicas} replica(s)"
                    + (" and one more in a rollout" if surge else ""),
                    "Take an ephemeral volume for each pod, or maxSurge: 0 with one replica",
                )


@rule(
    "k8s-memory",
    what="Without a limit one pod's fetch takes its neighbours down with it.",
    limit="the container that serves has a memory limit, at most the sizing's and not below its "
    "request",
)
def _k8s_memory(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        name, one = pod.serving
        limit, request = (
            _mib(at(one, "resources", end, "memory")) for end in ("limits", "requests")
        )
        most = shipment.sizing.task_memory_mib
        if pod.stays and (limit is None or not (request or 0) <= limit <= most):
            yield Finding(
                f"{pod.where}.{name}.resources.limits.memory",
                "not set" if limit is None else f"{limit:g} MiB",
                f"Set it to {most}Mi",
            )


@rule(
    "k8s-privileges",
    what="A hole in the server is a hole in the node.",
    limit="pods run as another user than root, unprivileged and without a way up",
    source=f"{_KUBERNETES}, Pod Security Standards: restricted",
)
def _k8s_privileges(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        whole = at(pod.spec, "securityContext", default={})
        for name, one in pod.everything:
            own = at(one, "securityContext", default={})
            up, all_of_it = at(own, "allowPrivilegeEscalation"), at(own, "privileged")
            user = at(own, "runAsNonRoot", default=at(whole, "runAsNonRoot"))
            if pod.filled_in:
                user, up = user is not False, bool(up)
            # What prepares a folder of the host before the start may have to own it.
            root = user is not True and not name.startswith("initContainers")
            if root or up is not False or all_of_it is True:
                yield Finding(
                    f"{pod.where}.{name}.securityContext",
                    f"runAsNonRoot {user}, allowPrivilegeEscalation {up}",
                    "Set runAsNonRoot: true and allowPrivilegeEscalation: false",
                )


@rule(
    "k8s-scaling",
    what="The API server refuses it, or the cluster grows beyond what was agreed.",
    limit="autoscalers: the fewest replicas are at most the most, and those at most the sizing's",
    source=f"{_KUBERNETES}, HorizontalPodAutoscaler; KEDA ScaledObject",
)
def _k8s_scaling(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    most = shipment.sizing.max_replicas
    for where, document in documents(rendered):
        fields = {
            "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
            "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
        }.get(str(document.get("kind")))
        if fields is None:
            continue
        low, high = (number(at(document, "spec", field)) for field in fields)
        if high is None or not (1 if low is None else low) <= high <= most:
            yield Finding(
                f"{where}.spec.{fields[1]}",
                f"{low:g} to {high:g}" if low is not None and high is not None else "not set",
                f"Set {fields[0]} and {fields[1]} to {shipment.sizing.min_replicas} and {most}",
            )


@rule(
    "k8s-image",
    what="Two replicas of one deployment run different code when a tag moves between their starts.",
    limit="an image has a digest, or a tag other than latest",
    source="shipping.image.uri of the spec",
)
def _k8s_image(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for pod in pods(rendered):
        for name, one in pod.everything:
            image = text(one.get("image"))
            if not pinned(image):
                yield Finding(f"{pod.where}.{name}.image", image[:120], "Write IMAGE@sha256:DIGEST")


def _fewest(rendered: Rendered, shipment: Shipment) -> int:
    for _, document in documents(rendered):
        for field in ("minReplicas", "minReplicaCount"):
            value = at(document, "spec", field)
            if isinstance(value, int):
                return max(1, value)
    replicas = [pod.replicas for pod in pods(rendered) if pod.stays and pod.replicas is not None]
    return min(replicas, default=max(1, shipment.sizing.min_replicas))


def _share(value: Any, replicas: int) -> float:
    """A number of pods, also one that is written in percent (rounded up)."""
    shown = str(value)
    if shown.endswith("%"):
        return float(-(-replicas * int(number(shown[:-1]) or 0) // 100))
    return number(value) or 0.0


def _mib(value: Any) -> float | None:
    """MiB of a Kubernetes quantity: "4Gi", "512M", bytes; None for none."""
    if value is None:
        return None
    shown = str(value)
    try:
        return parse_size(f"{shown}B" if shown[-1:].isalpha() else int(shown)) / _MIB
    except (UnitError, ValueError):
        return None


KUBERNETES_RULES: Final = (
    _k8s_accelerators,
    _k8s_shm,
    _k8s_disruption,
    _k8s_stop,
    _k8s_claim,
    _k8s_memory,
    _k8s_privileges,
    _k8s_scaling,
    _k8s_image,
)
