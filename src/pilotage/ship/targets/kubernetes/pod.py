"""The pod: fetch, then serve, with probes that let a slow model load."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

from pilotage.ship.images import container_spec, environment, image_engine, image_name
from pilotage.ship.inside.places import (
    KEYS_FOLDER,
    MODELS,
    SPEC_FOLDER,
    SPEC_PATH,
    USER_ID,
)
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import labels, object_name
from pilotage.ship.targets.kubernetes.placement import accelerators, placement
from pilotage.ship.targets.kubernetes.storage import VOLUME, storage

PERIOD_S: Final = 10
"""Between two startup probes."""
PRE_STOP_S: Final = 15
"""Before SIGTERM: until every proxy has heard that the pod is no endpoint any more; a server that
stops listening sooner refuses requests that are still sent to it."""

_TMP_GIB: Final = 8
"""Room for what engines compile and cache (vLLM's torch.compile, Triton)."""
_FETCH: Final = {"cpu": "1", "memory": "2Gi"}


def pod_template(shipment: Shipment) -> dict[str, Any]:
    """The pod of a Deployment, with labels."""
    return {
        "metadata": {
            "labels": labels(shipment),
            "annotations": {"pilotage.dev/spec-sha256": spec_digest(shipment)},
        },
        "spec": pod_spec(shipment),
    }


def pod_spec(shipment: Shipment, container: str = "server") -> dict[str, Any]:
    """The pod.

    Args:
        shipment: What is shipped.
        container: Name of the main container.
    """
    sizing = shipment.sizing
    return {
        "serviceAccountName": object_name(shipment),
        # Nothing here talks to Kubernetes. IAM roles for service accounts project their own token.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **placement(shipment),
        "terminationGracePeriodSeconds": PRE_STOP_S + max(sizing.stop_s, sizing.drain_s),
        "initContainers": _init_containers(shipment),
        "containers": [server(shipment, container)],
        "volumes": _volumes(shipment),
    }


def server(shipment: Shipment, name: str) -> dict[str, Any]:
    """The container that serves."""
    sizing = shipment.sizing
    mounts = [*_mounts(), {"name": "keys", "mountPath": KEYS_FOLDER, "readOnly": True}]
    if sizing.shm_mib:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  a mount, not a file
    # Requests equal limits: the pod is "Guaranteed", the last to be evicted.
    resources = {
        "cpu": f"{sizing.task_cpu * 1000 // 1024}m",
        "memory": f"{sizing.task_memory_mib}Mi",
        **accelerators(shipment),
    }
    return {
        "name": name,
        "image": image_reference(shipment),
        "args": list(sizing.arguments),
        "env": _environment(shipment),
        "ports": [{"name": "http", "containerPort": sizing.port, "protocol": "TCP"}],
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": _locked(),
        "volumeMounts": mounts,
        # Until it has succeeded neither of the others is asked: a load is never "not alive".
        "startupProbe": {
            **_asked("/health/startup"),
            "periodSeconds": PERIOD_S,
            "timeoutSeconds": 5,
            "failureThreshold": max(1, math.ceil(sizing.grace_s / PERIOD_S)),
        },
        "readinessProbe": {
            **_asked(sizing.health_path),
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            **_asked("/health/live"),
            "periodSeconds": PERIOD_S,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
    }


def image_reference(shipment: Shipment) -> str:
    """The image: the given one, or that which is built and pushed."""
    return shipment.shipping.image.uri or image_name(shipment)


def keys_secret(shipment: Shipment) -> str:
    """Name of the Secret with ``keys.json``, the hashes of API keys."""
    return object_name(shipment, "-keys")


def hub_secret(shipment: Shipment) -> str:
    """Name of the Secret with HF_TOKEN."""
    return object_name(shipment, "-hub")


def spec_digest(shipment: Shipment) -> str:
    """Of the spec in the ConfigMap: pods are replaced when it changes, which alone they are not."""
    return hashlib.sha256(container_spec(shipment).encode()).hexdigest()


def spec_suffix(shipment: Shipment) -> str:
    """What the ConfigMap with the spec is called, behind the deployment's name."""
    return f"-spec-{spec_digest(shipment)[:10]}"


def _init_containers(shipment: Shipment) -> list[dict[str, Any]]:
    image = image_reference(shipment)
    fetch = {
        "name": "fetch",
        "image": image,
        "command": ["/opt/pilotage/bin/pilotage", "fetch", SPEC_PATH],
        "env": _environment(shipment),
        "resources": {"requests": dict(_FETCH), "limits": dict(_FETCH)},
        "securityContext": _locked(),
        "volumeMounts": _mounts(),
    }
    if storage(shipment).kind != "node":
        return [fetch]
    small = {"cpu": "100m", "memory": "64Mi"}
    return [
        {
            # A hostPath has no fsGroup: the node makes it root's.
            "name": "own-folder",
            "image": image,
            "command": ["chown", f"{USER_ID}:{USER_ID}", MODELS],
            "resources": {"requests": small, "limits": dict(small)},
            "securityContext": {
                "runAsNonRoot": False,
                "runAsUser": 0,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
            },
            "volumeMounts": [{"name": VOLUME, "mountPath": MODELS}],
        },
        fetch,
    ]


def _environment(shipment: Shipment) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = [
        {"name": name, "value": value}
        for name, value in sorted(environment(image_engine(shipment)).items())
    ]
    token = {
        "name": "HF_TOKEN",
        "valueFrom": {
            "secretKeyRef": {
                "name": hub_secret(shipment),
                "key": "HF_TOKEN",
                # Only gated models need it; where the spec names one, its absence is an error.
                "optional": shipment.shipping.hub_token_secret_arn is None,
            }
        },
    }
    return [*plain, token]


def _mounts() -> list[dict[str, Any]]:
    return [
        {"name": "spec", "mountPath": SPEC_FOLDER, "readOnly": True},
        {"name": VOLUME, "mountPath": MODELS},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a mount of the pod's own
    ]


def _volumes(shipment: Shipment) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "spec", "configMap": {"name": object_name(shipment, spec_suffix(shipment))}},
        {"name": "keys", "secret": {"secretName": keys_secret(shipment), "defaultMode": 0o440}},
        storage(shipment).volume,
        {"name": "tmp", "emptyDir": {"sizeLimit": f"{_TMP_GIB}Gi"}},
    ]
    if shipment.sizing.shm_mib:
        size = f"{shipment.sizing.shm_mib}Mi"
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    return volumes


def _locked() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _asked(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}}
