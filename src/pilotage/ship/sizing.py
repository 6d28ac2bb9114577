"""What the spec and the plan mean for one deployment, as numbers every target renders from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The numbers of a deployment.

    Attributes:
        instance_type: EC2's, without ``ml.``; None where there is none to choose.
        gpus: GPUs a task.
        neuron_devices: Neuron devices (chips) a task.
        task_cpu: ECS CPU units of the task, 1024 a vCPU: what agents do not need.
        task_memory_mib: Memory of the task, MiB, likewise.
        shm_mib: Shared memory for tensor parallel workers; 0 needs none.
        desired: Replicas at the start.
        min_replicas: Fewest.
        max_replicas: Most.
        fetch_s: Predicted seconds to fetch the weights onto an instance that has none.
        load_s: Predicted seconds to load and warm up.
        grace_s: Seconds before a health check counts: (fetch + load) with a margin.
        drain_s: Longest time that requests in flight are given.
        stop_s: Time between SIGTERM and SIGKILL: at least `drain_s`, within the platform's bound.
        root_gib: Root volume: system, images, logs.
        weights_gib: Room for weights, twice their size so that an update fits beside the old.
        instance_store: Whether weights lie on the instance's own NVMe.
        weights_bytes: Of the weights as they are stored and fetched; 0 where the provider has them.
        image_bytes: Of the container image, compressed; 0 where there is none.
        tasks_per_instance: Tasks that share an instance; each has its own accelerators.
        port: The container's.
        health_path: Answers 200 once the model answers.
        engine: "openvino", "vllm", "transformers", "neuron" …
        arguments: Of ``pilotage serve`` in the container, beside the spec.
        notes: Why, for whoever reviews: a sentence each.
    """

    instance_type: str | None
    gpus: int = 0
    neuron_devices: int = 0
    task_cpu: int
    task_memory_mib: int
    shm_mib: int = 0
    desired: int
    min_replicas: int
    max_replicas: int
    fetch_s: float
    load_s: float
    grace_s: int
    drain_s: int
    stop_s: int
    root_gib: int
    weights_gib: int
    instance_store: bool = False
    weights_bytes: int = 0
    image_bytes: int = 0
    tasks_per_instance: int = 1
    port: int = 8000
    health_path: str = "/health/ready"
    engine: str
    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
