"""What `/metrics` says, that it stays small, and that it costs the hot path next to nothing."""

from __future__ import annotations

import re
import timeit
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pilotage import __version__
from pilotage.serve.telemetry import metrics as metrics_module
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.snapshot import ReplicaSnapshot, Snapshot, WorkerSnapshot
from pilotage.serve.telemetry.step_counts import STEP_SECONDS_BUCKETS

DOCS = Path(__file__).parents[3] / "docs" / "observability.md"
CHAT = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "pilotage",
    "gen_ai_request_model": "smollm2",
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["smollm2"])


def chat(**changes) -> RequestRecord:
    fields = {
        "model": "smollm2",
        "endpoint": "/v1/chat/completions",
        "operation": "chat",
        "status": 200,
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "queue_s": 0.02,
        "ttft_s": 0.05,
        "tpot_s": 0.012,
        "duration_s": 0.146,
    }
    return RequestRecord(**(fields | changes))


def samples(metrics: Metrics) -> dict[tuple[str, frozenset], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def bounds(metrics: Metrics, name: str) -> list[float]:
    found = {
        float(dict(labels)["le"])
        for sample, labels in samples(metrics)
        if sample == f"{name}_bucket"
    }
    return sorted(found)


def test_a_finished_request_is_in_every_metric_that_concerns_it(metrics):
    metrics.request_started()
    assert value(metrics, "pilotage_requests_in_flight") == 1

    metrics.request_finished(chat())

    assert value(metrics, "pilotage_requests_in_flight") == 0
    assert (
        value(
            metrics,
            "pilotage_requests_total",
            model="smollm2",
            endpoint="/v1/chat/completions",
            status="200",
        )
        == 1
    )
    assert value(metrics, "pilotage_prompt_tokens_total") == 30
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **CHAT) == 0.05
    assert value(metrics, "gen_ai_server_time_per_output_token_seconds_sum", **CHAT) == 0.012
    assert (
        value(metrics, "gen_ai_server_request_duration_seconds_sum", **CHAT, error_type="") == 0.146
    )
    for token_type, tokens in (("input", 30), ("output", 9)):
        labels = {**CHAT, "gen_ai_token_type": token_type}
        assert value(metrics, "gen_ai_client_token_usage_sum", **labels) == tokens


def test_the_time_in_the_queue_counts_once_a_worker_was_reached_whatever_came_then(metrics):
    metrics.request_finished(chat())
    metrics.request_finished(chat(queue_s=0.5, status=499, reason="client_closed_request"))
    metrics.request_finished(chat(queue_s=None, status=429, reason="overloaded"))
    name = "pilotage_request_queue_seconds"
    assert value(metrics, f"{name}_count", model="smollm2") == 2
    assert value(metrics, f"{name}_sum", model="smollm2") == pytest.approx(0.52)


def test_a_failed_request_counts_in_duration_but_not_in_latency(metrics):
    metrics.request_started()
    metrics.request_finished(chat(status=503, reason="worker_lost"))
    name = "gen_ai_server_request_duration_seconds_count"
    assert value(metrics, name, **CHAT, error_type="worker_lost") == 1
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_count", **CHAT) is None


def test_a_request_without_a_generation_is_no_gen_ai_request(metrics):
    metrics.request_started()
    metrics.request_finished(RequestRecord(endpoint="/v1/models", status=200, duration_s=0.001))
    names = {name for name, _ in samples(metrics)}
    assert not any(name.startswith("gen_ai_") for name in names)
    labels = {"model": "", "endpoint": "/v1/models", "status": "200"}
    assert value(metrics, "pilotage_requests_total", **labels) == 1


def test_buckets_are_those_of_the_semantic_conventions(metrics):
    metrics.request_finished(chat())
    infinity = float("inf")
    assert bounds(metrics, "gen_ai_server_time_to_first_token_seconds") == [
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
        infinity,
    ]
    assert bounds(metrics, "gen_ai_server_time_per_output_token_seconds") == [
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
        infinity,
    ]
    assert bounds(metrics, "gen_ai_server_request_duration_seconds") == [
        *(0.01 * 2**power for power in range(14)),
        infinity,
    ]
    assert bounds(metrics, "gen_ai_client_token_usage") == [
        *(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216),
        67108864,
        infinity,
    ]


def test_steps_become_counters_and_a_cumulative_histogram(metrics):
    metrics.step("0", 0.001, 4, 4)
    metrics.step("0", 0.03, 8, 7)
    metrics.step("1", 60.0, 1, 0)

    assert value(metrics, "pilotage_engine_steps_total", worker="0") == 2
    assert value(metrics, "pilotage_engine_step_sequences_total", worker="0") == 12
    assert value(metrics, "pilotage_generated_tokens_total") == 11
    name = "pilotage_engine_step_seconds"
    assert value(metrics, f"{name}_sum", worker="0") == pytest.approx(0.031)
    counted = {
        bound: value(metrics, f"{name}_bucket", worker="0", le=str(bound))
        for bound in STEP_SECONDS_BUCKETS
    }
    assert counted == {bound: 1 if bound < 0.03 else 2 for bound in STEP_SECONDS_BUCKETS}
    assert value(metrics, f"{name}_bucket", worker="1", le="5.0") == 0
    assert value(metrics, f"{name}_bucket", worker="1", le="+Inf") == 1
    assert value(metrics, f"{name}_count", worker="1") == 1


def test_the_state_is_asked_for_once_a_render_and_not_before(metrics):
    asked = []

    def snapshot() -> Snapshot:
        asked.append(1)
        worker = WorkerSnapshot(
            worker="0",
            up=len(asked) == 1,
            restarts=2,
            running_requests=5,
            kv_cache_usage_ratio=0.25,
            kv_cache_tokens=4096,
            prefill_tokens_per_s=1234.5,
        )
        cpu_s = {"gateway": 1.5, "worker-0": 60.25}
        return Snapshot(
            queue_requests=3, queue_tokens=900, retries=1, workers=(worker,), cpu_s=cpu_s
        )

    metrics.watch(snapshot)
    metrics.step("0", 0.01, 1, 1)
    assert asked == []

    seen = samples(metrics)
    assert len(asked) == 1
    of_worker = frozenset({("worker", "0")})
    assert seen["pilotage_queue_requests", frozenset()] == 3
    assert seen["pilotage_queue_tokens", frozenset()] == 900
    assert seen["pilotage_retries_total", frozenset()] == 1
    for process, seconds in {"gateway": 1.5, "worker-0": 60.25}.items():
        of_process = frozenset({("process", process)})
        assert seen["pilotage_process_cpu_seconds_total", of_process] == seconds
    assert seen["pilotage_worker_up", of_worker] == 1
    assert seen["pilotage_worker_restarts_total", of_worker] == 2
    assert seen["pilotage_running_requests", of_worker] == 5
    assert seen["pilotage_kv_cache_usage_ratio", of_worker] == 0.25
    assert seen["pilotage_kv_cache_tokens", of_worker] == 4096
    assert seen["pilotage_prefill_tokens_per_second", of_worker] == 1234.5
    assert value(metrics, "pilotage_worker_up", worker="0") == 0


def test_labels_stay_few_whatever_clients_send(metrics):
    for number in range(1000):
        metrics.request_finished(
            chat(
                model=f"nobody/{number}", endpoint=f"/raw/{number}", reason=f"{number}", status=500
            )
        )
        metrics.rejected(f"nobody/{number}", f"{number}")
    labels = [dict(labels) for _, labels in samples(metrics)]
    assert {one["model"] for one in labels if "model" in one} == {"other"}
    for name in ("endpoint", "reason", "error_type"):
        assert len({one[name] for one in labels if name in one}) <= 65


def test_two_servers_in_one_process_share_nothing(metrics):
    other = Metrics(["smollm2"])
    metrics.rejected("smollm2", "overloaded")
    labels = {"model": "smollm2", "reason": "overloaded"}
    assert value(metrics, "pilotage_requests_rejected_total", **labels) == 1
    assert value(other, "pilotage_requests_rejected_total", **labels) is None


def test_the_build_is_told_and_creation_times_are_not(metrics):
    text = metrics.render().decode()
    assert f'version="{__version__}"' in text
    assert "_created" not in text
    assert metrics_module.CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_the_table_in_the_docs_is_what_is_exposed(metrics):
    replica = ReplicaSnapshot(model="smollm2")
    worker = WorkerSnapshot(worker="0", up=True, device="cpu:0", models=(replica,))
    state = Snapshot(workers=(worker,), cpu_s={"worker-0": 1.0}, queue_by_model={"smollm2": 0})
    metrics.watch(lambda: state)
    metrics.request_finished(chat())
    metrics.rejected("smollm2", "overloaded")
    metrics.step("0", 0.01, 1, 1)
    text = metrics.render().decode()

    exposed = set()
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exposed.add((name, family.type, ", ".join(sorted(labels)), family.documentation))
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    documented = {
        (name, kind, labels.replace("`", ""), about)
        for name, kind, labels, about in rows
        if not name.startswith(
            "pilotage_route_"
        )  # a gateway's: tests/serve/routing/test_metrics.py
    }
    assert documented == exposed
    assert text.count("# TYPE ") == len(exposed)


def test_a_step_costs_less_than_five_microseconds(metrics):
    metrics.step("0", 0.01, 32, 32)
    best = min(timeit.repeat(lambda: metrics.step("0", 0.01, 32, 32), number=2000, repeat=15))
    assert best / 2000 < 5e-6
