"""Objects of a cluster as data: which are rendered, which are ours, what differs, what we own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from pilotage.ship.lifecycle.kubernetes.kubectl import MANAGER
from pilotage.ship.lifecycle.outcome import Leftover
from pilotage.ship.lifecycle.stack import NameCollisionError
from pilotage.ship.target import Rendered, Shipment

LABEL: Final = "pilotage.dev/deployment"

Object = Mapping[str, Any]

KEPT: Final = frozenset({"PersistentVolumeClaim"})
"""What keeps data, and is left when the rest is gone."""

AUTOSCALERS: Final = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})
"""Two at once would pull at one Deployment; KEDA refuses to be the second."""

_OURS: Final = (
    # Who makes pods first: what they mount goes after them.
    "InferenceService", "LLMInferenceService", "HorizontalPodAutoscaler", "ScaledObject",
    "Deployment", "StatefulSet", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget",
    "ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap", "ServiceAccount",
    "PersistentVolumeClaim",
)  # fmt: skip
"""Every kind that a deployment may consist of, in the order in which they are taken away."""


def manifests(rendered: Rendered) -> tuple[dict[str, Any], ...]:
    """Every object of the rendered YAML files, in the order of the files.

    A kustomization is kubectl's own and no object of the cluster.
    """
    return tuple(
        one
        for name, text in rendered.files.items()
        if name.endswith((".yaml", ".yml"))
        for one in yaml.safe_load_all(text)
        if isinstance(one, dict)
        and "kind" in one
        and not str(one.get("apiVersion", "kustomize.")).startswith("kustomize.")
    )


def selector(shipment: Shipment) -> str:
    """The label by which all of a deployment is found."""
    return f"{LABEL}={shipment.deployment.name}"


def named(one: Object) -> str:
    """As kubectl calls it: "deployment.apps/receipts"; kinds of two groups may share a name."""
    group, slash, _ = str(one["apiVersion"]).partition("/")
    kind = str(one["kind"]).lower()
    return f"{kind}.{group}/{_name(one)}" if slash else f"{kind}/{_name(one)}"


def kinds_of_ours(known: Mapping[str, str]) -> str:
    """Kinds to look for, of those that the cluster knows, as kubectl wants them."""
    return ",".join(known[kind] for kind in _OURS if kind in known) or "deployments"


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which they are taken away, without what others own and take with them."""
    own = [one for one in found if not one["metadata"].get("ownerReferences")]
    return sorted(
        own, key=lambda one: _OURS.index(one["kind"]) if one["kind"] in _OURS else len(_OURS)
    )


def check_ours(shipment: Shipment, present: Object) -> None:
    """Refuse to touch what somebody else made.

    Raises:
        NameCollisionError: It lacks our label.
    """
    labels = present["metadata"].get("labels") or {}
    if labels.get(LABEL) != shipment.deployment.name:
        raise NameCollisionError(
            f"name collision: {present['kind']}/{_name(present)} has no label "
            f"{selector(shipment)}, so it is not ours and stays as it is",
            where=f"namespace {shipment.shipping.namespace}",
            hint="Choose another name or namespace, or remove it yourself",
        )


def differing(present: Object, after: Object) -> tuple[str, ...]:
    """Fields that are other ones, what the server writes by itself left out."""
    return tuple(sorted(_differing(_plain(present), _plain(after))))


def owned(present: Object) -> dict[str, Any]:
    """What was applied the last time, no more and no less: to be applied again, to go back.

    Read from the server's record of who manages which field. The whole object would claim what
    others set, such as the replicas that an autoscaler chose.
    """
    record = next(
        (
            one.get("fieldsV1") or {}
            for one in present["metadata"].get("managedFields") or ()
            if one.get("manager") == MANAGER and one.get("operation") == "Apply"
        ),
        {},
    )
    found = _picked(record, present) if record else {}
    metadata = {**found.get("metadata", {}), "name": _name(present)}
    if "namespace" in present["metadata"]:
        metadata["namespace"] = present["metadata"]["namespace"]
    return {
        "apiVersion": present["apiVersion"], "kind": present["kind"], **found, "metadata": metadata
    }  # fmt: skip


def leftover(one: Object, namespace: str) -> Leftover:
    """Something that is kept, and the command that removes it."""
    name = f"{one['kind'].lower()}/{_name(one)}"
    return Leftover(type=str(one["kind"]), id=name, remove=f"kubectl delete {name} -n {namespace}")


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


def _plain(found: Object) -> dict[str, Any]:
    meta = {
        key: value
        for key, value in found["metadata"].items()
        if key in ("name", "namespace", "labels", "annotations")
    }
    return {
        **{key: value for key, value in found.items() if key not in ("metadata", "status")},
        "metadata": meta,
    }


def _differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differing(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path


def _picked(fields: Mapping[str, Any], live: Any) -> Any:
    """The part of a value that a record (``fieldsV1`` of Kubernetes) names.

    ``f:NAME`` is a field, ``k:{…}`` the element of a list with these keys, ``v:…`` an element that
    is this value, ``.`` the value itself; nothing below it means all of it.
    """
    below = {key: value for key, value in fields.items() if key != "."}
    if not below:
        return live if not fields else type(live)()
    if isinstance(live, Mapping):
        return {
            key[2:]: _picked(value, live[key[2:]])
            for key, value in below.items()
            if key.startswith("f:") and key[2:] in live
        }
    if isinstance(live, list):
        return [
            _picked(value, one) for one in live for key, value in below.items() if _is(key, one)
        ]
    return live


def _is(key: str, one: Any) -> bool:
    mark, _, told = key.partition(":")
    if mark not in ("k", "v"):
        return False
    wanted = json.loads(told)
    if mark == "v":
        return bool(one == wanted)
    return isinstance(one, Mapping) and all(one.get(name) == wanted[name] for name in wanted)
