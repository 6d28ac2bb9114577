"""What servers call what they tell of themselves in ``/metrics``.

Names are written with underscores throughout: vLLM's and SGLang's ``vllm:num_requests_running``
is ``vllm_num_requests_running`` behind some exporters (Ray's), and here. Sources:

- vLLM: ``docs/usage/metrics.md``; ``gpu_cache_usage_perc`` is the older name.
- SGLang: ``docs/references/production_metrics.md`` (the server needs ``--enable-metrics``).
- Text Generation Inference: ``docs/source/reference/metrics.md``.
- llama.cpp: ``tools/server/README.md`` (``--metrics``); the KV cache is not told by later builds.
- NVIDIA's dcgm-exporter and Triton, for the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

Names = tuple[str, ...]
"""Names of one quantity; the first one that a server has counts."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names of one kind of server.

    Attributes:
        name: The kind, as the report says it; None for servers that are none of those known.
        prefix: What its names begin with.
        running: Gauge: requests that are being generated.
        waiting: Gauge: requests that wait.
        kv_usage: Gauge: share of the KV cache in use, 0 to 1.
        batch_size: Gauge: sequences in a step.
        steps: Counter: engine steps.
        sequences: Counter: sequences in a step, summed over the steps.
        tokens: Counter: output tokens.
        queue: Histogram: seconds in the queue.
        ttft: Histogram: seconds to the first token.
        confusing: Counters whose presence means that ``sequences`` does not count sequences.
    """

    name: str | None = None
    prefix: str = ""
    running: Names = ()
    waiting: Names = ()
    kv_usage: Names = ()
    batch_size: Names = ()
    steps: Names = ()
    sequences: Names = ()
    tokens: Names = ()
    queue: Names = ()
    ttft: Names = ()
    confusing: Names = ()


_OPENTELEMETRY_TTFT: Final = ("gen_ai_server_time_to_first_token_seconds",)

DIALECTS: Final = (
    Dialect(
        name="pilotage",
        prefix="pilotage_",
        running=("pilotage_running_requests",),
        waiting=("pilotage_queue_requests",),
        kv_usage=("pilotage_kv_cache_usage_ratio",),
        steps=("pilotage_engine_steps_total",),
        sequences=("pilotage_engine_step_sequences_total",),
        tokens=("pilotage_generated_tokens_total",),
        queue=("pilotage_request_queue_seconds",),
        ttft=_OPENTELEMETRY_TTFT,
    ),
    Dialect(
        name="vllm",
        prefix="vllm_",
        running=("vllm_num_requests_running",),
        waiting=("vllm_num_requests_waiting",),
        kv_usage=("vllm_kv_cache_usage_perc", "vllm_gpu_cache_usage_perc"),
        # A sequence brings one token a step (a prefill brings its first at its end), so tokens
        # by steps are the sequences in a step; not so when it drafts several tokens ahead.
        steps=("vllm_iteration_tokens_total_count",),
        sequences=("vllm_generation_tokens_total",),
        tokens=("vllm_generation_tokens_total",),
        queue=("vllm_request_queue_time_seconds",),
        ttft=("vllm_time_to_first_token_seconds",),
        confusing=("vllm_spec_decode_num_accepted_tokens_total",),
    ),
    Dialect(
        name="sglang",
        prefix="sglang_",
        running=("sglang_num_running_reqs",),
        waiting=("sglang_num_queue_reqs",),
        kv_usage=("sglang_token_usage",),
        tokens=("sglang_generation_tokens_total",),
        queue=("sglang_queue_time_seconds",),
        ttft=("sglang_time_to_first_token_seconds",),
    ),
    Dialect(
        name="tgi",
        prefix="tgi_",
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        batch_size=("tgi_batch_current_size",),
        tokens=("tgi_request_generated_tokens_sum",),
        queue=("tgi_request_queue_duration",),
    ),
    Dialect(
        name="llamacpp",
        prefix="llamacpp_",
        running=("llamacpp_requests_processing",),
        waiting=("llamacpp_requests_deferred",),
        kv_usage=("llamacpp_kv_cache_usage_ratio",),
        tokens=("llamacpp_tokens_predicted_total",),
    ),
)
"""The servers that are known, and how they call things."""

OTHER: Final = Dialect(ttft=_OPENTELEMETRY_TTFT)
"""Any other server: what is common is still read."""

CPU_SECONDS: Final = ("pilotage_process_cpu_seconds_total", "process_cpu_seconds_total")
"""Counters of CPU seconds: ours of every process, Prometheus' own of the one that answers."""

GPU_USE: Final = {"DCGM_FI_DEV_GPU_UTIL": 0.01, "nv_gpu_utilization": 1.0}
"""Gauges of a GPU's use, with the factor that makes them a share."""


def _wanted() -> Iterator[str]:
    yield from CPU_SECONDS
    yield from GPU_USE
    for dialect in (*DIALECTS, OTHER):
        for field in fields(dialect):
            names = getattr(dialect, field.name)
            if field.name in ("queue", "ttft"):
                yield from (f"{name}{part}" for name in names for part in ("_sum", "_count"))
            elif isinstance(names, tuple):
                yield from names


WANTED: Final = frozenset(_wanted())
"""Every name of a sample that is of use; all others are skipped unread."""
