"""Names, labels and the form of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from pilotage.ship.target import Shipment

Manifest = dict[str, Any]

INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
ACCESS_LABEL: Final = "pilotage.dev/access"
"""On a namespace: its pods may reach the model."""

_LONGEST_NAME: Final = 63


def object_name(shipment: Shipment, suffix: str = "") -> str:
    """Name of an object: the shipment's, cut so that a label can hold it."""
    return shipment.name[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix


def pods_of(shipment: Shipment, *, llm: bool = False) -> str:
    """Its pods, as Prometheus picks series: those of ``receipts``, and not of ``receipts-eu``.

    Args:
        shipment: What is shipped.
        llm: Whether KServe's LLMInferenceService makes them, in workloads that it names itself.
    """
    named = "-.*" if llm else "(-predictor)?-[a-z0-9]+-[a-z0-9]{5}"
    return f'namespace="{shipment.shipping.namespace}",pod=~"{object_name(shipment)}{named}"'


def selector(shipment: Shipment) -> dict[str, str]:
    """Labels by which its pods are found; they never change, as a Deployment's selector cannot."""
    return {"app.kubernetes.io/name": "pilotage", INSTANCE_LABEL: object_name(shipment)}


def labels(shipment: Shipment) -> dict[str, str]:
    """Labels of everything made, by which it is known as ours."""
    return {
        **selector(shipment),
        "app.kubernetes.io/managed-by": "pilotage",
        "pilotage.dev/deployment": shipment.deployment.name,
    }


def manifest(
    shipment: Shipment,
    api: str,
    kind: str,
    *,
    suffix: str = "",
    annotations: Mapping[str, str] | None = None,
    **body: Any,
) -> Manifest:
    """An object in the deployment's namespace.

    Args:
        shipment: What is shipped.
        api: Such as "apps/v1".
        kind: Such as "Deployment".
        suffix: Of its name.
        annotations: Beside the user's tags, which are annotations: labels would refuse many.
        **body: ``spec``, ``data`` and so on.
    """
    noted = {**_tags(shipment), **(annotations or {})}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {
            "name": object_name(shipment, suffix),
            "namespace": shipment.shipping.namespace,
            "labels": labels(shipment),
            **({"annotations": noted} if noted else {}),
        },
        **body,
    }


def as_yaml(*manifests: Manifest) -> str:
    """Manifests as text, in the order in which they were made."""
    return "---\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        for one in manifests
    )


def _tags(shipment: Shipment) -> dict[str, str]:
    return {f"tags.pilotage.dev/{key}": value for key, value in shipment.shipping.tags.items()}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no aliases: what repeats is written again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
