"""The Deployment and what keeps it up: the spec it serves, its rollout, its disruption budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilotage.ship.images import container_spec
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import Manifest, manifest, object_name, selector
from pilotage.ship.targets.kubernetes.pod import pod_template, spec_suffix
from pilotage.ship.targets.kubernetes.signals import signal_of

_NODE_S: Final = 900
"""For a node to come, and to pull an image of tens of gigabytes."""


def config_map(shipment: Shipment) -> Manifest:
    """The spec as the container reads it; it holds no secret.

    Its name has its digest: pods of the revision before keep theirs, whenever they are started
    again, and going back to it goes back to its spec.
    """
    data = {"spec.yaml": container_spec(shipment)}
    suffix = spec_suffix(shipment)
    return manifest(shipment, "v1", "ConfigMap", suffix=suffix, immutable=True, data=data)


def deployment(shipment: Shipment) -> Manifest:
    """The Deployment.

    Where an autoscaler counts, the number of replicas is left to it: to state it here would take
    back at every apply what the load had asked for.
    """
    sizing = shipment.sizing
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector(shipment)},
        "strategy": rollout(shipment),
        # Kubernetes gives a rollout up after 10 minutes unless told otherwise, less than many
        # models take to load.
        "progressDeadlineSeconds": sizing.grace_s + round(sizing.fetch_s) + _NODE_S,
        "revisionHistoryLimit": 5,
        "template": pod_template(shipment),
    }
    if signal_of(shipment) is None:
        spec = {"replicas": sizing.desired, **spec}
    return manifest(shipment, "apps/v1", "Deployment", spec=spec)


def rollout(shipment: Shipment) -> dict[str, Any]:
    """One pod at a time: a new one beside the old (spare), or in its place (downtime)."""
    spare = shipment.shipping.rollout == "spare"
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": int(spare), "maxUnavailable": int(not spare)},
    }


def disruption_budget(shipment: Shipment, pods: Mapping[str, str] | None = None) -> Manifest:
    """One pod may be evicted at a time; a budget of none would keep nodes from ever being drained.

    A pod that is not ready may always go: it serves nobody.

    Args:
        shipment: What is shipped.
        pods: Labels by which its pods are found, where others make them.
    """
    return manifest(
        shipment,
        "policy/v1",
        "PodDisruptionBudget",
        spec={
            "maxUnavailable": 1,
            "selector": {"matchLabels": dict(pods or selector(shipment))},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )


def service_monitor(shipment: Shipment) -> Manifest:
    """Tells Prometheus to read the metrics, with a key: they are not open to everybody."""
    return manifest(
        shipment,
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        spec={
            "selector": {"matchLabels": selector(shipment)},
            "endpoints": [
                {
                    "targetPort": shipment.sizing.port,
                    "path": "/metrics",
                    "interval": "15s",
                    "scrapeTimeout": "10s",
                    "authorization": {
                        "type": "Bearer",
                        "credentials": {"name": metrics_secret(shipment), "key": "key"},
                    },
                }
            ],
        },
    )


def metrics_secret(shipment: Shipment) -> str:
    """Name of the Secret with an API key for Prometheus; any scope will do."""
    return object_name(shipment, "-metrics")
