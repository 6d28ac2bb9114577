"""KServe: an InferenceService with our container, or an LLMInferenceService with KServe's vLLM.

An LLMInferenceService brings vLLM, its gateway and its scheduler; it is what KServe means for large
language models. Everything else (vision models in transformers, encoders, Neuron) runs Pilotage's
own server as the custom container of an InferenceService.

Written against KServe's published types (v1beta1 and v1alpha1 of 2026); without a cluster only the
fields' names and forms are checked.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import (
    Manifest,
    labels,
    manifest,
    object_name,
    selector,
)
from pilotage.ship.targets.kubernetes.placement import accelerators, placement
from pilotage.ship.targets.kubernetes.pod import PERIOD_S, PRE_STOP_S, hub_secret, pod_spec
from pilotage.ship.targets.kubernetes.scaling import behavior, trigger
from pilotage.ship.targets.kubernetes.signals import PROMETHEUS, Signal, signal_of
from pilotage.ship.targets.kubernetes.workload import metrics_secret, rollout

_CONTAINER: Final = "kserve-container"
_MODEL_SOURCES: Final = ("hf", "s3")
_VLLM_FLAGS: Final = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype")
_VLLM_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")


def runs_vllm(shipment: Shipment) -> bool:
    """Whether KServe's own vLLM can run it: the engine, on GPUs, from where KServe fetches."""
    source = shipment.shipping.weights_uri or shipment.deployment.model.source
    return (
        shipment.sizing.engine == "vllm"
        and shipment.sizing.gpus > 0
        and urlsplit(source).scheme in _MODEL_SOURCES
    )


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


def llm_inference_service(shipment: Shipment) -> Manifest:
    """The LLMInferenceService: KServe's vLLM with the planned settings."""
    sizing = shipment.sizing
    signal = signal_of(shipment, engine_metrics=True)
    resources = {
        "cpu": f"{sizing.task_cpu * 1000 // 1024}m",
        "memory": f"{sizing.task_memory_mib}Mi",
        **accelerators(shipment),
    }
    main: dict[str, Any] = {
        "name": "main",
        "env": [
            {"name": "VLLM_ADDITIONAL_ARGS", "value": " ".join(vllm_arguments(shipment))},
            {
                "name": "HF_TOKEN",
                "valueFrom": {
                    "secretKeyRef": {
                        "name": hub_secret(shipment),
                        "key": "HF_TOKEN",
                        "optional": True,
                    }
                },
            },
        ],
        "resources": {"requests": resources, "limits": dict(resources)},
        # KServe's vLLM speaks TLS; its liveness probe would kill a load after two minutes.
        "startupProbe": {
            "httpGet": {"path": "/health", "port": 8000, "scheme": "HTTPS"},
            "periodSeconds": PERIOD_S,
            "timeoutSeconds": 5,
            "failureThreshold": max(1, math.ceil(sizing.grace_s / PERIOD_S)),
        },
    }
    volumes: dict[str, Any] = {}
    if sizing.shm_mib:
        # Named as in KServe's own template, over which this is merged: 1 GiB there.
        main["volumeMounts"] = [{"name": "dshm", "mountPath": "/dev/shm"}]  # noqa: S108  a mount
        size = f"{sizing.shm_mib}Mi"
        volumes["volumes"] = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
    template: dict[str, Any] = {
        "serviceAccountName": object_name(shipment),
        **placement(shipment),
        "terminationGracePeriodSeconds": PRE_STOP_S + max(sizing.stop_s, sizing.drain_s),
        "containers": [main],
        **volumes,
    }
    return manifest(
        shipment,
        "serving.kserve.io/v1alpha1",
        "LLMInferenceService",
        spec={
            "model": {
                "uri": shipment.shipping.weights_uri or shipment.deployment.model.source,
                "name": shipment.deployment.model.name,
            },
            **_replicas(shipment, signal),
            "parallelism": {"tensor": sizing.gpus},
            "labels": labels(shipment),
            "router": {"gateway": {}, "route": {}, "scheduler": {}},
            "template": template,
        },
    )


def vllm_arguments(shipment: Shipment) -> list[str]:
    """The flags of vLLM, of words that a shell leaves alone: KServe's template puts them into one.

    Raises:
        UsageError: A setting of the plan is no plain word.
    """
    planned = shipment.plan.deployment if shipment.plan else None
    settings = dict(planned.settings) if planned else {}
    settings.setdefault("max_model_len", shipment.deployment.model.max_model_len)
    found = ["--tensor-parallel-size", str(shipment.sizing.gpus)]
    for name in _VLLM_FLAGS:
        if settings.get(name) is not None:
            found += [f"--{name.replace('_', '-')}", str(settings[name])]
    dtype = planned.dtype if planned else shipment.deployment.model.dtype
    if dtype == "fp8":
        found += ["--quantization", "fp8"]
    elif dtype in _VLLM_DTYPES:
        found += ["--dtype", _VLLM_DTYPES[dtype]]
    for word in found:
        if _PLAIN.fullmatch(word) is None:
            raise UsageError(
                f'"{word[:60]}" is no plain word',
                where="plan: deployment.settings",
                hint="KServe puts vLLM's arguments into a shell line: numbers and names only",
            )
    return found


def pod_monitor(shipment: Shipment) -> Manifest:
    """Tells Prometheus to read the pods' metrics: KServe's Services are not ours to label."""
    return manifest(
        shipment,
        "monitoring.coreos.com/v1",
        "PodMonitor",
        spec={
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


def _replicas(shipment: Shipment, signal: Signal | None) -> dict[str, Any]:
    if signal is None:
        return {"replicas": shipment.sizing.desired}
    return {
        "scaling": {
            "minReplicas": shipment.sizing.min_replicas,
            "maxReplicas": shipment.sizing.max_replicas,
            "keda": {
                "pollingInterval": 15,
                "cooldownPeriod": math.ceil(shipment.shipping.scaling.scale_in_cooldown),
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(shipment)}},
                "triggers": [trigger(signal)],
            },
        }
    }


def _external(shipment: Shipment, signal: Signal) -> dict[str, Any]:
    """KServe's form of a Prometheus metric: a value, so sums are divided by their pods."""
    query = signal.query
    if signal.sums:
        where = f'namespace="{shipment.shipping.namespace}",pod=~"{object_name(shipment)}-.*"'
        query = f"({query}) / count(pilotage_build_info{{{where}}})"
    return {
        "type": "External",
        "external": {
            "metric": {"backend": "prometheus", "serverAddress": PROMETHEUS, "query": query},
            "target": {"type": "Value", "value": f"{signal.target:g}"},
        },
    }
