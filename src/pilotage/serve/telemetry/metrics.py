"""Metrics in Prometheus text format, under OpenTelemetry's GenAI names where those exist.

A dot of an OpenTelemetry name is an underscore here and its unit is a suffix, as in
OpenTelemetry's own Prometheus exporter. `docs/observability.md` lists every metric.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from pilotage import __version__
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.slice_metrics import slice_metrics
from pilotage.serve.telemetry.snapshot import Snapshot, WorkerSnapshot
from pilotage.serve.telemetry.step_counts import StepCounts

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PROVIDER = "pilotage"
MAX_LABEL_VALUES = 64
OTHER = "other"

# OpenTelemetry semantic conventions for generative AI metrics (status: development).
DURATION_BUCKETS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
TIME_TO_FIRST_TOKEN_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
TIME_PER_OUTPUT_TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
TOKEN_USAGE_BUCKETS = tuple(4**power for power in range(14))  # 1 to 67,108,864

# Ours, as is the metric: the conventions have nothing for the time in a queue.
QUEUE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_GEN_AI_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


_M = TypeVar("_M", bound=MetricWrapperBase)


class Metrics:
    """The metrics of one gateway, on a registry of their own.

    For one thread: the event loop's. Labels stay few whatever clients send: a model is one of
    those served or "other", and so is an endpoint or a reason after 64 different ones.

    Args:
        models: Names of the served models.
    """

    def __init__(self, models: Collection[str]) -> None:
        self._models = frozenset(models)
        self._endpoints = _BoundedLabel()
        self._reasons = _BoundedLabel()
        self._steps = StepCounts()
        self._labelled: dict[tuple[int | str, ...], MetricWrapperBase] = {}
        self._snapshot: Callable[[], Snapshot] = Snapshot
        registry = self._registry = CollectorRegistry()

        self._time_to_first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a request's arrival to its first token, for successful responses.",
            _GEN_AI_LABELS,
            buckets=TIME_TO_FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self._time_per_output_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per token generated after the first, for successful responses.",
            _GEN_AI_LABELS,
            buckets=TIME_PER_OUTPUT_TOKEN_BUCKETS,
            registry=registry,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a generation request's arrival to its last byte.",
            (*_GEN_AI_LABELS, "error_type"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a request: those of its prompt (input), those of its completion (output).",
            (*_GEN_AI_LABELS, "gen_ai_token_type"),
            buckets=TOKEN_USAGE_BUCKETS,
            registry=registry,
        )
        self._queue = Histogram(
            "pilotage_request_queue_seconds",
            "Time from a request's admission until a worker takes it.",
            ("model",),
            buckets=QUEUE_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "pilotage_requests",
            "Requests answered, by route and HTTP status.",
            ("model", "endpoint", "status"),
            registry=registry,
        )
        self._rejected = Counter(
            "pilotage_requests_rejected",
            "Requests that were refused although they were well-formed.",
            ("model", "reason"),
            registry=registry,
        )
        self._in_flight = Gauge(
            "pilotage_requests_in_flight",
            "Requests that have arrived and are not yet answered.",
            registry=registry,
        )
        self._prompt_tokens = Counter(
            "pilotage_prompt_tokens", "Prompt tokens of finished requests.", registry=registry
        )
        Info("pilotage_build", "What is running.", registry=registry).info(
            {"version": __version__, "python_version": platform.python_version()}
        )
        registry.register(_Collected(self._steps.collect))
        registry.register(_Collected(lambda: _state_metrics(self._snapshot())))

    def watch(self, snapshot: Callable[[], Snapshot]) -> None:
        """Show the state that ``snapshot`` returns; it is called once a `render`."""
        self._snapshot = snapshot

    def show(self, collect: Callable[[], Iterator[Metric]]) -> None:
        """Show more metrics; they are asked for once a `render`."""
        self._registry.register(_Collected(collect))

    def request_started(self) -> None:
        """Count a request that has arrived; `request_finished` must follow, whatever happens."""
        self._in_flight.inc()

    def request_finished(self, record: RequestRecord) -> None:
        """Count a request that was answered."""
        self._in_flight.dec()
        model = self._model(record.model)
        endpoint = self._endpoints.admit(record.endpoint)
        self._of(self._requests, model, endpoint, str(record.status)).inc()
        self._prompt_tokens.inc(record.prompt_tokens)
        if record.operation is None:
            return
        error_type = self._reasons.admit(record.reason) if record.reason else ""
        labels = (record.operation, PROVIDER, model)
        self._of(self._duration, *labels, error_type).observe(record.duration_s)
        if record.prompt_tokens:
            self._of(self._token_usage, *labels, "input").observe(record.prompt_tokens)
            self._of(self._token_usage, *labels, "output").observe(record.completion_tokens)
        if record.queue_s is not None:
            self._queue.labels(model).observe(record.queue_s)
        if record.status >= 400:
            return
        if record.ttft_s is not None:
            self._of(self._time_to_first_token, *labels).observe(record.ttft_s)
        if record.tpot_s is not None:
            self._of(self._time_per_output_token, *labels).observe(record.tpot_s)

    def _of(self, metric: _M, *labels: str) -> _M:
        """The metric with these labels; the library's own look-up takes a lock and five loops."""
        key: tuple[int | str, ...] = (id(metric), *labels)
        found = self._labelled.get(key)
        if found is None:
            found = self._labelled[key] = metric.labels(*labels)
        return cast("_M", found)

    def rejected(self, model: str, reason: str) -> None:
        """Count a refusal, such as "overloaded"; the request also ends in `request_finished`."""
        self._rejected.labels(self._model(model), self._reasons.admit(reason)).inc()

    def step(self, worker: str, duration_s: float, running: int, new_tokens: int) -> None:
        """Count one engine step.

        Args:
            worker: The worker's name, which it keeps when it is restarted.
            duration_s: Of the step, seconds.
            running: Sequences that were in it.
            new_tokens: Tokens that it brought.
        """
        self._steps.add(worker, duration_s, running, new_tokens)

    def render(self) -> bytes:
        """All metrics in Prometheus text format; `CONTENT_TYPE` is its media type."""
        return generate_latest(_Collected(self._without_creation_times))

    def _without_creation_times(self) -> Iterator[Metric]:
        # In the text format the library writes each counter's creation time as one more metric,
        # and turning that off there is a setting for the whole process.
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric

    def _model(self, name: str) -> str:
        return name if not name or name in self._models else OTHER


class _Collected(Collector):
    """A function that yields metrics, as the collector that the library wants."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()


class _BoundedLabel:
    """The values a label has had: a bound against a caller's mistake, not a rule for callers."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def admit(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= MAX_LABEL_VALUES:
                return OTHER
            self._seen.add(value)
        return value


def _state_metrics(state: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "pilotage_queue_requests", "Sequences that wait for a worker.", value=state.queue_requests
    )
    yield GaugeMetricFamily(
        "pilotage_queue_tokens",
        "Prompt tokens of the sequences that wait for a worker.",
        value=state.queue_tokens,
    )
    yield CounterMetricFamily(
        "pilotage_retries",
        "Sequences given to another worker because theirs was lost.",
        value=state.retries,
    )
    restarts = CounterMetricFamily(
        "pilotage_worker_restarts", "Times a worker was started again.", labels=["worker"]
    )
    for worker in state.workers:
        restarts.add_metric([worker.worker], worker.restarts)
    yield restarts
    cpu = CounterMetricFamily(
        "pilotage_process_cpu_seconds",
        "CPU time that a process of the server has used; a worker tells it after each step.",
        labels=["process"],
    )
    for process, seconds in state.cpu_s.items():
        cpu.add_metric([process], seconds)
    yield cpu
    for name, documentation, value in _WORKER_GAUGES:
        gauge = GaugeMetricFamily(name, documentation, labels=["worker"])
        for worker in state.workers:
            gauge.add_metric([worker.worker], value(worker))
        yield gauge
    yield from slice_metrics(state)


_WORKER_GAUGES: tuple[tuple[str, str, Callable[[WorkerSnapshot], float]], ...] = (
    (
        "pilotage_worker_up",
        "Whether a worker is ready to generate: 1 or 0.",
        lambda worker: worker.up,
    ),
    (
        "pilotage_running_requests",
        "Sequences that a worker is generating.",
        lambda worker: worker.running_requests,
    ),
    (
        "pilotage_kv_cache_usage_ratio",
        "Share of a worker's KV cache in use, 0 to 1.",
        lambda worker: worker.kv_cache_usage_ratio,
    ),
    (
        "pilotage_kv_cache_tokens",
        "Tokens that a worker's KV cache holds.",
        lambda worker: worker.kv_cache_tokens,
    ),
    (
        "pilotage_prefill_tokens_per_second",
        "Prompt tokens that a worker processes in a second, as admission counts on it.",
        lambda worker: worker.prefill_tokens_per_s,
    ),
)
