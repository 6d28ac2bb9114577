"""Rendered manifests as data, and shipments of the examples that go to Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import shipments
import yaml

from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets import target_of
from pilotage.spec.shipping import TargetName

Manifest = dict[str, Any]


def to(target: TargetName, shipment: Shipment) -> Shipment:
    return replace(shipment, target=target)


def resized(shipment: Shipment, **sizing: Any) -> Shipment:
    return replace(shipment, sizing=replace(shipment.sizing, **sizing))


def receipts(target: TargetName = "kubernetes", /, **shipping: Any) -> Shipment:
    return to(target, shipments.receipts(**shipping))


def finance(target: TargetName = "kubernetes") -> Shipment:
    """As for ECS; a public address is a gateway's at KServe."""
    found = shipments.finance()
    if target == "kserve":
        found = replace(found, shipping=found.shipping.model_copy(
            update={"network": shipments.receipts().shipping.network}
        ))  # fmt: skip
    return to(target, found)


def captions(target: TargetName = "kubernetes") -> Shipment:
    return to(target, shipments.captions())


def render(shipment: Shipment) -> Rendered:
    return target_of(shipment.target).render(shipment)


def objects(files: Mapping[str, str]) -> list[Manifest]:
    return [
        one
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for one in yaml.load_all(text, yaml.CSafeLoader)
    ]


def by_kind(shipment: Shipment) -> dict[str, Manifest]:
    """Objects by kind; the ConfigMap is the spec's, as the dashboard's is another."""
    files = render(shipment).files
    found = objects({name: text for name, text in files.items() if name != "dashboard.yaml"})
    kinds = {one["kind"]: one for one in found}
    assert len(kinds) == len(found), "two of a kind"
    return kinds


def pod_of(shipment: Shipment) -> Manifest:
    pod: Manifest = by_kind(shipment)["Deployment"]["spec"]["template"]["spec"]
    return pod


def flat(files: Mapping[str, str]) -> dict[str, str]:
    """Files by names without folders, as goldens are kept."""
    return {path.replace("/", "--"): text for path, text in files.items()}
