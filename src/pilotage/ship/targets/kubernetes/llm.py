"""KServe's LLMInferenceService: its own vLLM, gateway and scheduler, with the planned settings.

What is said here is laid over KServe's preset ``kserve-config-llm-template``, container by
container and field by field. So no probe says whom it asks: whether KServe's vLLM speaks TLS is
for KServe's configuration to say, and a startup probe that asks in the wrong one kills every load.

Checked field by field, 2026-11-22, against KServe 0.20.0 (install/v0.20.0's preset,
llm_inference_service_types.go, workload_single_node.go); never run on a cluster.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import (
    INSTANCE_LABEL,
    Manifest,
    labels,
    manifest,
    object_name,
)
from pilotage.ship.targets.kubernetes.placement import accelerators, placement
from pilotage.ship.targets.kubernetes.pod import PERIOD_S
from pilotage.ship.targets.kubernetes.scaling import behavior, trigger
from pilotage.ship.targets.kubernetes.signals import Signal, signal_of

_MODEL_SOURCES: Final = ("hf", "s3")
_VLLM_FLAGS: Final = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype")
_VLLM_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")

_PRE_STOP_S: Final = 15
_CLEANUP_S: Final = 5
"""The preset sleeps before SIGTERM and gives vLLM what is left of the grace period less this."""


def runs_vllm(shipment: Shipment) -> bool:
    """Whether KServe's own vLLM can run it: the engine, on GPUs, from where KServe fetches."""
    source = shipment.shipping.weights_uri or shipment.deployment.model.source
    return (
        shipment.sizing.engine == "vllm"
        and shipment.sizing.gpus > 0
        and urlsplit(source).scheme in _MODEL_SOURCES
    )


def check_llm(shipment: Shipment) -> None:
    """Refuse what KServe's vLLM does not do.

    Raises:
        UsageError: A name that KServe's shell line would run, routing, a rollout with downtime.
    """
    name = shipment.deployment.model.name
    if _PLAIN.fullmatch(name) is None:
        raise UsageError(
            f'"{name[:60]}" is no plain word, and KServe puts it into a shell line and a path',
            where="model.served_name",
            hint="Letters, digits, dots, hyphens and underscores only",
        )
    if shipment.deployment.routing is not None:
        raise UsageError(
            "KServe's vLLM answers by itself: it has no tiers to route between",
            where="routing",
            hint="Ship to kubernetes, where Pilotage's server routes; or leave routing out",
        )
    if shipment.shipping.rollout == "downtime":
        raise UsageError(
            "KServe starts a new pod before the old one goes, which takes one more instance; "
            "without it the rollout waits without an end",
            where="shipping.rollout",
            hint="Take spare, or the target kubernetes",
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
        "env": [{"name": "VLLM_ADDITIONAL_ARGS", "value": " ".join(vllm_arguments(shipment))}],
        "resources": {"requests": resources, "limits": dict(resources)},
        # 10 minutes in the preset, less than many models take.
        "startupProbe": {
            "periodSeconds": PERIOD_S,
            "timeoutSeconds": 5,
            "failureThreshold": max(1, math.ceil(sizing.grace_s / PERIOD_S)),
        },
        # A second in the preset, which a busy server misses: it would be taken out, and killed.
        "readinessProbe": {"periodSeconds": 5, "timeoutSeconds": 5},
        "livenessProbe": {"periodSeconds": PERIOD_S, "timeoutSeconds": 5},
    }
    volumes: dict[str, Any] = {}
    if sizing.shm_mib:
        # Named as in the preset: 1 GiB there.
        main["volumeMounts"] = [{"name": "dshm", "mountPath": "/dev/shm"}]  # noqa: S108  a mount
        size = f"{sizing.shm_mib}Mi"
        volumes["volumes"] = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
    drain = max(sizing.stop_s, sizing.drain_s)
    template: dict[str, Any] = {
        "serviceAccountName": object_name(shipment),
        **placement(shipment, pods=pod_selector(shipment)),
        "terminationGracePeriodSeconds": _PRE_STOP_S + drain + _CLEANUP_S,
        "containers": [main],
        **volumes,
    }
    return manifest(
        shipment,
        "serving.kserve.io/v1alpha1",
        "LLMInferenceService",
        spec={
            "model": {"uri": _uri(shipment), "name": shipment.deployment.model.name},
            **_replicas(shipment, signal),
            "parallelism": {"tensor": _ranks(shipment)[0]},
            "labels": pod_labels(shipment),
            "router": {"gateway": {}, "route": {}, "scheduler": {}},
            "template": template,
        },
    )


def pod_labels(shipment: Shipment) -> dict[str, str]:
    """Labels of its pods, by which they are known as ours.

    Not ``app.kubernetes.io/name``: it is KServe's own there, by which its Deployment and its
    InferencePool find the pods, and a label of ours would take its place.
    """
    return {
        name: value for name, value in labels(shipment).items() if name != "app.kubernetes.io/name"
    }


def pod_selector(shipment: Shipment) -> dict[str, str]:
    """Labels by which its pods are found."""
    return {INSTANCE_LABEL: object_name(shipment)}


def vllm_arguments(shipment: Shipment) -> list[str]:
    """The flags of vLLM, of words that a shell leaves alone: KServe's preset puts them into one.

    The tensor parallel size is not among them: the preset has it from ``parallelism``.

    Raises:
        UsageError: A setting of the plan is no plain word.
    """
    planned = shipment.plan.deployment if shipment.plan else None
    settings = dict(planned.settings) if planned else {}
    settings.setdefault("max_model_len", shipment.deployment.model.max_model_len)
    pipeline = _ranks(shipment)[1]
    found = ["--pipeline-parallel-size", str(pipeline)] if pipeline > 1 else []
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


def _uri(shipment: Shipment) -> str:
    """Where KServe fetches from; a revision of the hub stands behind a colon."""
    given, model = shipment.shipping.weights_uri, shipment.deployment.model
    if given is not None or model.revision is None or not model.source.startswith("hf://"):
        return given or model.source
    return f"{model.source}:{model.revision}"


def _ranks(shipment: Shipment) -> tuple[int, int]:
    """Tensor and pipeline parallel sizes: their product is the GPUs of a pod."""
    pipeline = shipment.plan.deployment.pipeline_parallel if shipment.plan else 1
    return shipment.sizing.gpus // max(1, pipeline), max(1, pipeline)


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
