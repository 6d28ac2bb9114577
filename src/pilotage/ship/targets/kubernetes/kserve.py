"""KServe: an InferenceService with Pilotage's own server as its container.

Vision models in transformers, encoders and Neuron run so; language models in vLLM are an
LLMInferenceService (`pilotage.ship.targets.kubernetes.llm`).

Checked field by field, 2026-11-22, against the types of KServe 0.20 (pkg/apis/serving/v1beta1:
component.go's ComponentExtensionSpec, AutoScalingSpec and ExternalMetrics, podspec.go); never run
on a cluster.
"""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import (
    INSTANCE_LABEL,
    Manifest,
    labels,
    manifest,
    pods_of,
    selector,
)
from pilotage.ship.targets.kubernetes.pod import pod_spec
from pilotage.ship.targets.kubernetes.signals import PROMETHEUS, Signal, signal_of
from pilotage.ship.targets.kubernetes.workload import metrics_secret, rollout

_CONTAINER: Final = "kserve-container"


def check_kserve(shipment: Shipment) -> None:
    """Refuse what KServe does not do.

    Raises:
        UsageError: It should go to zero replicas.
    """
    if shipment.sizing.min_replicas == 0:
        raise UsageError(
            "KServe's Standard mode does not go to zero replicas",
            where="shipping.scaling.min",
            hint="Take 1, or the target kubernetes, which does it with KEDA",
        )


def inference_service(shipment: Shipment) -> Manifest:
    """The InferenceService: our container in its predictor, plain Deployments behind it."""
    sizing = shipment.sizing
    signal = signal_of(shipment)
    pod = pod_spec(shipment, _CONTAINER)
    return manifest(
        shipment,
        "serving.kserve.io/v1beta1",
        "InferenceService",
        annotations={
            # Knative's mode gives a pod 10 minutes and mounts no host path.
            "serving.kserve.io/deploymentMode": "Standard",
            "serving.kserve.io/autoscalerClass": "keda" if signal else "hpa",
        },
        spec={
            "predictor": {
                "minReplicas": sizing.min_replicas if signal else sizing.desired,
                "maxReplicas": sizing.max_replicas if signal else sizing.desired,
                "timeout": math.ceil(shipment.deployment.serving.request_timeout),
                "labels": labels(shipment),
                "deploymentStrategy": rollout(shipment),
                **({"autoScaling": {"metrics": [_external(shipment, signal)]}} if signal else {}),
                **pod,
            }
        },
    )


def pod_monitor(shipment: Shipment) -> Manifest:
    """Tells Prometheus to read the pods' metrics: KServe's Services are not ours to label."""
    return manifest(
        shipment,
        "monitoring.coreos.com/v1",
        "PodMonitor",
        spec={
            # The job is named after the deployment, as a ServiceMonitor names it after its Service.
            "jobLabel": INSTANCE_LABEL,
            "selector": {"matchLabels": selector(shipment)},
            "podMetricsEndpoints": [
                {
                    "port": "http",
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


def _external(shipment: Shipment, signal: Signal) -> dict[str, Any]:
    """KServe's form of a Prometheus metric: a value, so sums are divided by their pods."""
    query = signal.query
    if signal.sums:
        query = f"({query}) / count(pilotage_build_info{{{pods_of(shipment)}}})"
    return {
        "type": "External",
        "external": {
            "metric": {"backend": "prometheus", "serverAddress": PROMETHEUS, "query": query},
            "target": {"type": "Value", "value": f"{signal.target:g}"},
        },
    }
