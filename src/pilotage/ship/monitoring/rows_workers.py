"""Rows of the dashboard on what serves: tokens, queue, workers and their devices."""

from __future__ import annotations

from typing import Final

from pilotage.ship.monitoring.panel import Panel, Query, Row
from pilotage.ship.monitoring.replicas import waiting_s
from pilotage.ship.monitoring.rows_answers import WINDOW
from pilotage.ship.monitoring.series import Series
from pilotage.ship.monitoring.thresholds import HEADROOM, KV_FULL
from pilotage.ship.target import Shipment

_WORKER: Final = "{{instance}} {{worker}} {{device}}"


def token_row(series: Series) -> Row:
    """Tokens in and out, and how long requests are."""
    usage = "gen_ai_client_token_usage"
    return Row(
        title="Throughput and tokens",
        panels=(
            Panel(
                title="Tokens a second",
                says="Generated ones as they come, prompt ones when their request ends.",
                unit="short",
                queries=(
                    Query(
                        expression=series.rate("pilotage_generated_tokens_total", WINDOW),
                        legend="generated",
                    ),
                    Query(
                        expression=series.rate("pilotage_prompt_tokens_total", WINDOW),
                        legend="prompt",
                    ),
                ),
            ),
            Panel(
                title="Generated tokens a second, by worker",
                says="One that stays behind the others has a slower device, or fewer requests.",
                unit="short",
                queries=(
                    Query(
                        expression="rate("
                        f"{series.of('pilotage_worker_generated_tokens_total')}[{WINDOW}])",
                        legend="{{instance}} {{worker}}",
                    ),
                ),
            ),
            Panel(
                title="Tokens a request, mean",
                says="Prompts (input) and completions (output): what the plan took from "
                "workload.prompt_tokens and workload.completion_tokens.",
                unit="short",
                queries=(
                    Query(
                        expression=f"{series.rate(usage + '_sum', WINDOW, by=(_TYPE,))} / "
                        f"{series.rate(usage + '_count', WINDOW, by=(_TYPE,))}",
                        legend=f"{{{{{_TYPE}}}}}",
                    ),
                ),
            ),
        ),
    )


_TYPE: Final = "gen_ai_token_type"


def queue_row(shipment: Shipment, series: Series) -> Row:
    """What waits, how long that takes, what is refused."""
    promised = shipment.deployment.slo.ttft_p99
    return Row(
        title="Queue and admission",
        panels=(
            Panel(
                title="Requests that wait, by model",
                says="For a worker, all replicas together.",
                unit="short",
                width=6,
                stacked=True,
                queries=(
                    Query(
                        expression=series.total(
                            series.of("pilotage_model_queue_requests"), "model"
                        ),
                        legend="{{model}}",
                    ),
                ),
            ),
            Panel(
                title="Prompt tokens that wait",
                says="What admission counts.",
                unit="short",
                width=6,
                queries=(
                    Query(
                        expression=series.of("pilotage_queue_tokens"), legend="{{instance}}"
                    ),
                ),
            ),
            Panel(
                title="Time that the queue takes",
                says="Tokens that wait, at the speed that admission counts on. Requests are "
                "refused before it is longer than the promised time to first token.",
                unit="s",
                width=6,
                limit=None if promised is None else HEADROOM * promised,
                queries=(Query(expression=waiting_s(series), legend="queue"),),
            ),
            Panel(
                title="Refused a second, by reason",
                says="Well-formed requests that were refused: 429, 503, 402.",
                unit="reqps",
                width=6,
                stacked=True,
                queries=(
                    Query(
                        expression=series.rate(
                            "pilotage_requests_rejected_total", WINDOW, by=("reason",)
                        ),
                        legend="{{reason}}",
                    ),
                ),
            ),
        ),
    )  # fmt: skip


def worker_row(shipment: Shipment, series: Series) -> Row:
    """KV cache, batch, steps, memory and processors, by worker and its device."""
    panels = [
        Panel(
            title="KV cache in use, by worker and device",
            says="Full means that sequences wait for room; the line is the alert's.",
            unit="percentunit",
            limit=KV_FULL,
            top=1,
            queries=(
                Query(
                    expression=_by_device(series, series.of("pilotage_kv_cache_usage_ratio")),
                    legend=_WORKER,
                ),
            ),
        ),
        Panel(
            title="Batch: sequences a step, by worker and device",
            says="The mean; it bounds the throughput, and each step of it the time per token.",
            unit="short",
            queries=(
                Query(
                    expression=_by_device(
                        series,
                        f"rate({series.of('pilotage_engine_step_sequences_total')}[{WINDOW}]) / "
                        f"rate({series.of('pilotage_engine_steps_total')}[{WINDOW}])",
                    ),
                    legend=_WORKER,
                ),
            ),
        ),
        Panel(
            title="Running requests, by worker",
            says="Sequences that it generates now.",
            unit="short",
            queries=(
                Query(
                    expression=series.of("pilotage_running_requests"),
                    legend="{{instance}} {{worker}}",
                ),
            ),
        ),
        Panel(
            title="Engine step: p50 and p99",
            says="Of all workers.",
            unit="s",
            queries=tuple(
                Query(
                    expression=series.quantile(
                        percent / 100, "pilotage_engine_step_seconds", WINDOW
                    ),
                    legend=f"p{percent}",
                )
                for percent in (50, 99)
            ),
        ),
        Panel(
            title="Memory of models, by worker",
            says="Weights and KV cache.",
            unit="bytes",
            stacked=True,
            queries=(
                Query(
                    expression=series.of("pilotage_model_memory_bytes"),
                    legend="{{instance}} {{worker}} {{model}}",
                ),
            ),
        ),
        Panel(
            title="CPU cores in use, by process",
            says="Gateway and workers; the gateway's own core is full at 1.",
            unit="short",
            queries=(
                Query(
                    expression=f"rate({series.of('pilotage_process_cpu_seconds_total')}[{WINDOW}])",
                    legend="{{instance}} {{process}}",
                ),
            ),
        ),
        Panel(
            title="Workers that are ready",
            says="Of all replicas; the second curve is how many there should be.",
            unit="short",
            queries=(
                Query(expression=series.total(series.of("pilotage_worker_up")), legend="ready"),
                Query(
                    expression=f"count by ({', '.join(series.labels)}) "
                    f"({series.of('pilotage_worker_up')})",
                    legend="all",
                ),
            ),
        ),
        Panel(
            title="Replicas that answer",
            says="As Prometheus reads them; fewer than the line is an alert.",
            unit="short",
            limit=float(shipment.sizing.min_replicas),
            low_is_bad=True,
            queries=(Query(expression=series.total(series.of("up")), legend="replicas"),),
        ),
    ]
    if shipment.sizing.gpus:
        least = shipment.shipping.alarms.gpu_idle
        panels.append(
            Panel(
                title="GPU utilisation",
                says="From NVIDIA's DCGM exporter; empty without it. Below the line for an hour "
                "is an alert.",
                unit="percent",
                limit=least,
                low_is_bad=True,
                queries=(Query(expression=series.gpu_utilization, legend="{{gpu}}"),),
            )
        )
    return Row(title="Workers and devices", panels=tuple(panels))


def _by_device(series: Series, expression: str) -> str:
    """With the device of the worker, where it has a slice for itself."""
    labels = ", ".join((*series.labels, "instance", "worker"))
    return (
        f"({expression}) * on ({labels}) group_left (device) "
        f"{series.of('pilotage_worker_device_info')} or on ({labels}) ({expression})"
    )
