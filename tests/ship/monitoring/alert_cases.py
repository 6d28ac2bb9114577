"""Series under which an alert fires, and a deployment that is well; as promtool writes them.

A value is ``start+step x minutes``: one sample a minute, so a step of 600 is 10 a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MINUTES = 90
ASKED_AT = 80
CHAT = 'endpoint="/v1/chat/completions",model="llama"'
TTFT = "gen_ai_server_time_to_first_token_seconds"
TPOT = "gen_ai_server_time_per_output_token_seconds"
E2E = "gen_ai_server_request_duration_seconds"


@dataclass(frozen=True)
class Case:
    """What is bad, and who should say so.

    Attributes:
        name: Of the case.
        fires: Alerts that fire, and no others.
        bad: Series in place of the healthy ones; None takes one away.
        of: Whose rules.
    """

    name: str
    fires: tuple[str, ...]
    bad: dict[str, str | None]
    of: str = "receipts"


def steady(a_minute: float) -> str:
    return f"0+{a_minute:g}x{MINUTES}"


def always(value: float) -> str:
    return f"{value:g}x{MINUTES}"


def latency(metric: str, buckets: dict[str, float], labels: str = "") -> dict[str, str | None]:
    """A histogram's series, from requests a minute at most as slow as each bound."""
    comma = f"{labels}," if labels else ""
    found: dict[str, str | None] = {
        f'{metric}_bucket{{{comma}le="{bound}"}}': steady(count) for bound, count in buckets.items()
    }
    found[f"{metric}_count{{{labels}}}"] = steady(buckets["+Inf"])
    return found


GOOD: dict[str, str | None] = {
    'up{instance="a"}': always(1),
    'up{instance="b"}': always(1),
    'pilotage_build_info{instance="a"}': always(1),
    'pilotage_build_info{instance="b"}': always(1),
    f'pilotage_requests_total{{{CHAT},status="200"}}': steady(600),
    f'pilotage_requests_total{{{CHAT},status="500"}}': steady(1),
    # A replica that loads says 503 to its probe, which is no answer to anybody.
    'pilotage_requests_total{endpoint="/health/ready",model="",status="503"}': steady(100),
    'pilotage_requests_rejected_total{model="llama",reason="overloaded"}': steady(6),
    **latency(TTFT, {"0.25": 598, "0.5": 600, "+Inf": 600}),
    **latency(TPOT, {"0.05": 600, "0.075": 600, "0.1": 600, "+Inf": 600}),
    **latency(E2E, {"1.28": 600, "2.56": 600, "5.12": 600, "+Inf": 600}, 'error_type=""'),
    **latency(E2E, {"0.01": 6, "+Inf": 6}, 'error_type="overloaded"'),
    'pilotage_queue_requests{instance="a"}': f"0 1 0 2 0x{MINUTES}",
    'pilotage_queue_tokens{instance="a"}': always(500),
    'pilotage_prefill_tokens_per_second{instance="a",worker="worker-0"}': always(10_000),
    'pilotage_prefill_tokens_per_second{instance="b",worker="worker-0"}': always(10_000),
    'pilotage_kv_cache_usage_ratio{instance="a",worker="worker-0"}': always(0.9),
    'pilotage_worker_up{instance="a",worker="worker-0"}': always(1),
    'pilotage_worker_up{instance="b",worker="worker-0"}': always(1),
    'pilotage_worker_restarts_total{instance="a",worker="worker-0"}': f"0x50 1x{MINUTES}",
    'pilotage_process_cpu_seconds_total{instance="a",process="gateway"}': steady(6),
    'DCGM_FI_DEV_GPU_UTIL{gpu="0"}': always(60),
    'pilotage_route_breaker{backend="small/0"}': always(0),
    'pilotage_route_drift_alerts_total{tier="small"}': always(0),
    'pilotage_route_cost_usd_total{role="answer",tier="small"}': steady(0.01),
}

SLOW_BURN = "PilotageErrorBudgetBurnsSlowly"
FAILED_500 = f'pilotage_requests_total{{{CHAT},status="500"}}'

CASES = (
    Case("well", (), {}),
    Case("well, with routes", (), {}, of="support"),
    Case(
        "first tokens are slow",
        ("PilotageSlowFirstTokens",),
        latency(TTFT, {"0.25": 300, "0.5": 580, "+Inf": 600}),
    ),
    Case(
        "too few requests to say so",
        (),
        latency(TTFT, {"0.25": 3, "0.5": 5, "+Inf": 6}),
    ),
    Case(
        "tokens are slow",
        ("PilotageSlowTokens",),
        latency(TPOT, {"0.05": 300, "0.075": 500, "0.1": 600, "+Inf": 600}),
    ),
    Case(
        "answers are slow, and many refusals are fast",
        ("PilotageSlowAnswers", "PilotageRejects"),
        {
            **latency(E2E, {"1.28": 300, "2.56": 580, "5.12": 600, "+Inf": 600}, 'error_type=""'),
            **latency(E2E, {"0.01": 3000, "+Inf": 3000}, 'error_type="overloaded"'),
            'pilotage_requests_rejected_total{model="llama",reason="overloaded"}': steady(3000),
        },
    ),
    Case("2 % fail", ("PilotageFailedAnswers", SLOW_BURN), {FAILED_500: steady(12)}),
    Case(
        "8 % fail",
        ("PilotageFailedAnswers", "PilotageErrorBudgetBurns", SLOW_BURN),
        {FAILED_500: steady(52)},
    ),
    Case(
        "a third fails",
        (
            "PilotageFailedAnswers",
            "PilotageErrorBudgetBurns",
            "PilotageErrorBudgetBurnsFast",
            SLOW_BURN,
        ),
        {FAILED_500: steady(300)},
    ),
    Case("what failed is over", (SLOW_BURN,), {FAILED_500: f"0+300x30 9000x{MINUTES}"}),
    Case(
        "a tenth is refused",
        ("PilotageRejects",),
        {'pilotage_requests_rejected_total{model="llama",reason="overloaded"}': steady(66)},
    ),
    Case("a replica is gone", ("PilotageReplicasMissing",), {'up{instance="b"}': always(0)}),
    Case(
        "all are gone",
        ("PilotageReplicasMissing",),
        {'up{instance="a"}': None, 'up{instance="b"}': None},
    ),
    Case(
        "the server starts again and again",
        ("PilotageServerCrashLoop",),
        {
            'pilotage_process_cpu_seconds_total{instance="a",process="gateway"}': " ".join(
                ["1+6x9"] * 9
            )
        },
    ),
    Case(
        "the queue grows",
        ("PilotageQueueGrows",),
        {'pilotage_queue_requests{instance="a"}': steady(1)},
    ),
    Case(
        "the queue is long and does not grow",
        (),
        {'pilotage_queue_requests{instance="a"}': always(30)},
    ),
    Case(
        "the queue takes as long as the promise",
        ("PilotageQueueNearPromise",),
        {'pilotage_queue_tokens{instance="a"}': always(7000)},
    ),
    Case(
        "the KV cache is full",
        ("PilotageKvCacheFull",),
        {'pilotage_kv_cache_usage_ratio{instance="a",worker="worker-0"}': always(0.97)},
    ),
    Case(
        "a worker is down",
        ("PilotageWorkerDown",),
        {'pilotage_worker_up{instance="b",worker="worker-0"}': always(0)},
    ),
    Case(
        "a worker starts again and again",
        ("PilotageWorkerCrashLoop",),
        {'pilotage_worker_restarts_total{instance="a",worker="worker-0"}': steady(0.25)},
    ),
    Case("GPUs idle", ("PilotageGpuIdle",), {'DCGM_FI_DEV_GPU_UTIL{gpu="0"}': always(5)}),
    Case(
        "a backend is down",
        ("PilotageBackendDown",),
        {'pilotage_route_breaker{backend="small/0"}': always(2)},
        of="support",
    ),
    Case(
        "answers got worse",
        ("PilotageQualityDrift",),
        {'pilotage_route_drift_alerts_total{tier="small"}': f"0x60 1x{MINUTES}"},
        of="support",
    ),
    Case(
        "the day is dear",
        ("PilotageSpend",),
        {'pilotage_route_cost_usd_total{role="answer",tier="small"}': steady(3)},
        of="support",
    ),
)


def as_test(case: Case, job: str) -> dict[str, Any]:
    """The case in promtool's form: which alerts fire, all others silent."""
    series = {name: values for name, values in {**GOOD, **case.bad}.items() if values is not None}
    return {
        "name": case.name,
        "interval": "1m",
        "input_series": [
            {"series": labelled(name, job), "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{ASKED_AT}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in case.fires
                ],
            }
        ],
    }


def labelled(series: str, job: str) -> str:
    """With the job that Prometheus gives; GPUs are read as a job of their own."""
    name, _, labels = series.partition("{")
    own = f"{job}-gpu" if name.startswith("DCGM") else job
    rest = labels.removesuffix("}")
    return f'{name}{{job="{own}"' + (f",{rest}}}" if rest else "}")
