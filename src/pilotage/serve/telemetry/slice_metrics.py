"""What each device slice and each model on it does, as metrics: what ``pilotage top`` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from pilotage.serve.telemetry.snapshot import Snapshot


def slice_metrics(state: Snapshot) -> Iterator[Metric]:
    """Metrics by worker and model. Copies of a model in one worker are added up."""
    device = GaugeMetricFamily(
        "pilotage_worker_device_info",
        "The device slice a worker has for itself; always 1.",
        labels=["worker", "device"],
    )
    memory: Counter[tuple[str, str]] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    for worker in state.workers:
        if worker.device:
            device.add_metric([worker.worker, worker.device], 1)
        for replica in worker.models:
            key = (worker.worker, replica.model)
            memory[key] += replica.memory_bytes
            running[key] += replica.running_requests
    yield device
    for name, documentation, values in (
        (
            "pilotage_model_memory_bytes",
            "Memory that a model takes on a worker: weights and KV cache.",
            memory,
        ),
        ("pilotage_model_running_requests", "Requests of a model on a worker.", running),
    ):
        family = GaugeMetricFamily(name, documentation, labels=["worker", "model"])
        for key, value in values.items():
            family.add_metric(list(key), value)
        yield family
    queue = GaugeMetricFamily(
        "pilotage_model_queue_requests",
        "Sequences that wait for a worker, by their model.",
        labels=["model"],
    )
    for model, waiting in state.queue_by_model.items():
        queue.add_metric([model], waiting)
    yield queue
