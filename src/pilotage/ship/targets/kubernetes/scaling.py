"""Replicas that follow the load: an HPA where a gauge says it, else KEDA.

A HorizontalPodAutoscaler averages a gauge that each pod exposes (through prometheus-adapter's
custom metrics) and needs nothing else. It cannot compute: percentiles, rates, products of two
gauges; nor can it start from zero. Those are queries, which KEDA asks Prometheus.

At zero replicas nobody exposes our metrics, so they can never wake the model: that takes a metric
of what stands in front of it, here ingress-nginx's count of requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import Manifest, manifest, object_name
from pilotage.ship.targets.kubernetes.signals import PROMETHEUS, Signal, signal_of

_POLL_S: Final = 15
_LONGEST_WINDOW_S: Final = 3600
"""Of a stabilisation window (autoscaling/v2)."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What scales a deployment, and why it is this.

    Attributes:
        manifests: The HPA or ScaledObject; none where it never scales.
        notes: Why.
        warnings: What it does not do.
    """

    manifests: tuple[Manifest, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def scaling(shipment: Shipment) -> Scaling:
    """The autoscaler of a Deployment."""
    signal = signal_of(shipment)
    if signal is None:
        count = shipment.sizing.desired
        return Scaling((), (f"No autoscaler: the Deployment keeps {count} replicas.",))
    if shipment.sizing.min_replicas > 0 and signal.metric is not None:
        return Scaling(
            (_hpa(shipment, signal, signal.metric),),
            (
                f"HorizontalPodAutoscaler: {signal.why}. {signal.metric} is a gauge that each pod "
                "exposes, so the HPA averages it itself; prometheus-adapter must serve it as a "
                "custom metric of pods.",
            ),
        )
    reason = (
        "only KEDA goes to zero replicas"
        if shipment.sizing.min_replicas == 0
        else "that is a query and not a gauge of a pod, which an HPA cannot ask"
    )
    return Scaling(
        (_scaled_object(shipment, signal),),
        (
            f"KEDA ScaledObject: {signal.why}; {reason}. It asks Prometheus at {PROMETHEUS}: "
            "patch serverAddress where yours is elsewhere.",
        ),
        _asleep(shipment),
    )


def trigger(signal: Signal, *, may_be_empty: bool = False) -> dict[str, Any]:
    """A KEDA trigger on Prometheus; KEDA wants all values as texts.

    Args:
        signal: What it looks at.
        may_be_empty: No series is a load of zero, as there is at zero replicas. Else it is a
            target that is not scraped: hold, do not shrink.
    """
    return {
        "type": "prometheus",
        "name": "load",
        "metricType": "AverageValue" if signal.sums else "Value",
        "metadata": {
            "serverAddress": PROMETHEUS,
            "query": signal.query,
            "threshold": f"{signal.target:g}",
            "ignoreNullValues": "true" if may_be_empty else "false",
        },
    }


def behavior(shipment: Shipment) -> dict[str, Any]:
    """How fast: up as soon as it is needed, down one pod after a quiet while."""
    spec = shipment.shipping.scaling
    down = min(_LONGEST_WINDOW_S, math.ceil(spec.scale_in_cooldown))
    up = min(_LONGEST_WINDOW_S, math.ceil(spec.scale_out_cooldown))
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": up,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": max(15, up)}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": down,
            # One at a time: each has a drain to finish.
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": max(60, min(1800, down))}],
        },
    }


def _target(shipment: Shipment) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(shipment)}


def _hpa(shipment: Shipment, signal: Signal, metric: str) -> Manifest:
    return manifest(
        shipment,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        spec={
            "scaleTargetRef": _target(shipment),
            "minReplicas": shipment.sizing.min_replicas,
            "maxReplicas": shipment.sizing.max_replicas,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": metric},
                        "target": {
                            "type": "AverageValue",
                            "averageValue": _quantity(signal.target),
                        },
                    },
                }
            ],
            "behavior": behavior(shipment),
        },
    )


def _scaled_object(shipment: Shipment, signal: Signal) -> Manifest:
    sizing = shipment.sizing
    triggers = [trigger(signal, may_be_empty=sizing.min_replicas == 0)]
    if sizing.min_replicas == 0:
        triggers.append(_wake(shipment))
    return manifest(
        shipment,
        "keda.sh/v1alpha1",
        "ScaledObject",
        spec={
            "scaleTargetRef": _target(shipment),
            "pollingInterval": _POLL_S,
            # From one replica to none; between others the behaviour below counts. Never sooner
            # than a new pod needs to answer at all.
            "cooldownPeriod": max(
                math.ceil(shipment.shipping.scaling.scale_in_cooldown), sizing.grace_s
            ),
            "minReplicaCount": sizing.min_replicas,
            "maxReplicaCount": sizing.max_replicas,
            # Prometheus is gone: keep what runs at the planned size, rather than follow nothing.
            **({} if not signal.sums or sizing.min_replicas == 0 else _fallback(shipment)),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(shipment)}},
            "triggers": triggers,
        },
    )


def _fallback(shipment: Shipment) -> dict[str, Any]:
    return {"fallback": {"failureThreshold": 4, "replicas": max(1, shipment.sizing.desired)}}


def _wake(shipment: Shipment) -> dict[str, Any]:
    namespace, service = shipment.shipping.namespace, object_name(shipment)
    query = (
        "sum(rate(nginx_ingress_controller_requests"
        f'{{exported_namespace="{namespace}",exported_service="{service}"}}[1m])) or vector(0)'
    )
    return {
        "type": "prometheus",
        "name": "wake",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": PROMETHEUS,
            "query": query,
            # It wakes one replica at the first request; how many are needed is the load's to say.
            "threshold": "1000000",
            "activationThreshold": "0",
        },
    }


def _asleep(shipment: Shipment) -> tuple[str, ...]:
    if shipment.sizing.min_replicas > 0:
        return ()
    wait = shipment.sizing.fetch_s + shipment.sizing.load_s
    return (
        "At zero replicas nobody exposes the model's metrics. What wakes it is ingress-nginx's "
        "count of requests (trigger wake): put the model behind it, or replace that query by one "
        f"of your ingress. Whoever comes first gets 503 for about {wait:,.0f} s, until a node, "
        "the weights and the model are there.",
    )


def _quantity(value: float) -> str:
    """A Kubernetes quantity, which has no exponents of ours: thousandths where it is no integer."""
    return f"{int(value)}" if value == int(value) else f"{round(value * 1000)}m"
