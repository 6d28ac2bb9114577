"""What ``pilotage top`` reads of each slice and model."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.snapshot import ReplicaSnapshot, Snapshot, WorkerSnapshot


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


def test_each_slice_tells_its_device_models_and_tokens() -> None:
    workers = (
        WorkerSnapshot(
            worker="0",
            up=True,
            device="cuda:0-1",
            models=(
                ReplicaSnapshot(model="a", memory_bytes=100, running_requests=2),
                ReplicaSnapshot(model="b", memory_bytes=7),
                ReplicaSnapshot(model="a", memory_bytes=100, running_requests=1),
            ),
        ),
        WorkerSnapshot(worker="1", up=False),
    )
    metrics = Metrics(["a", "b"])
    metrics.watch(lambda: Snapshot(workers=workers, queue_by_model={"a": 4, "b": 0}))
    metrics.step("0", 0.01, 2, 3)
    metrics.step("1", 0.01, 2, 5)
    seen = samples(metrics)

    assert seen["pilotage_worker_device_info", labels(worker="0", device="cuda:0-1")] == 1
    assert not any(
        name == "pilotage_worker_device_info" and ("worker", "1") in key for name, key in seen
    )
    assert seen["pilotage_model_memory_bytes", labels(worker="0", model="a")] == 200
    assert seen["pilotage_model_memory_bytes", labels(worker="0", model="b")] == 7
    assert seen["pilotage_model_running_requests", labels(worker="0", model="a")] == 3
    assert seen["pilotage_model_queue_requests", labels(model="a")] == 4
    assert seen["pilotage_model_queue_requests", labels(model="b")] == 0
    assert seen["pilotage_worker_generated_tokens_total", labels(worker="0")] == 3
    assert seen["pilotage_worker_generated_tokens_total", labels(worker="1")] == 5
    assert seen["pilotage_generated_tokens_total", labels()] == 8
