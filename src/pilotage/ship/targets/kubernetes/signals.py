"""What scaling looks at: the metric of the spec as a query of Prometheus, and the value held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import pods_of

PROMETHEUS: Final = "http://prometheus-operated.monitoring.svc:9090"
"""Where prometheus-operator's own Service is; another address is a patch of one line."""

_WINDOW: Final = "2m"
_VLLM: Final = "kserve_vllm:"
"""What KServe calls the metrics of a vLLM that it runs itself (vLLM's own prefix is "vllm:")."""
_QUEUE: Final = 1.0
"""Requests that wait for a replica: one is a queue."""
_GPU: Final = 60.0
"""Percent; InfraHouse's module holds the same."""
_HEADROOM: Final = 0.8
"""Of an SLO or a capacity: a new replica takes minutes, so it starts before the promise breaks."""
_LATENCY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What scaling looks at.

    Attributes:
        metric: The gauge each pod exposes, where that alone says it; None where it takes a query.
        query: In Prometheus' language.
        target: The value that is held, of a replica, or of the whole where it is no sum.
        sums: Whether the query adds up replicas, so that it is divided by their number.
        why: A sentence for the reviewer.
    """

    metric: str | None
    query: str
    target: float
    sums: bool
    why: str


def signal_of(shipment: Shipment, *, engine_metrics: bool = False) -> Signal | None:
    """The signal of a deployment; None where it never scales.

    Args:
        shipment: What is shipped.
        engine_metrics: vLLM's own server answers, without Pilotage's metrics.
    """
    metric = shipment.shipping.scaling.metric
    if metric == "none" or shipment.sizing.max_replicas <= shipment.sizing.min_replicas:
        return None
    where = pods_of(shipment, llm=engine_metrics)
    if metric == "p90_latency":
        return _latency(shipment, where, engine_metrics=engine_metrics)
    if metric == "queue":
        name = f"{_VLLM}num_requests_waiting" if engine_metrics else "pilotage_queue_requests"
        target = _given(shipment, _QUEUE)
        return Signal(
            metric=name,
            query=f"sum({name}{{{where}}})",
            target=target,
            sums=True,
            why=f"at most {target:g} requests wait for each replica",
        )
    if metric == "tokens_in_flight":
        return _tokens(shipment, where, engine_metrics=engine_metrics)
    if metric == "requests":
        name = f"{_VLLM}request_success_total" if engine_metrics else "pilotage_requests_total"
        target = _given(shipment, _requests_a_minute(shipment))
        return Signal(
            metric=None,
            query=f"60 * sum(rate({name}{{{where}}}[{_WINDOW}]))",
            target=target,
            sums=True,
            why=f"{target:g} requests a minute for each replica",
        )
    target = _given(shipment, _GPU)
    # The exporter says whose GPU it is; a Prometheus that does not honour a target's labels keeps
    # that as "exported_…", and calls the exporter's own pod "pod" (dcgm-exporter #76, #85).
    renamed = where.replace("namespace=", "exported_namespace=").replace("pod=", "exported_pod=")
    return Signal(
        metric=None,
        query=f"avg(DCGM_FI_DEV_GPU_UTIL{{{where}}} or DCGM_FI_DEV_GPU_UTIL{{{renamed}}})",
        target=target,
        sums=False,
        why=f"GPU utilisation of {target:g} %, as NVIDIA's DCGM exporter measures it",
    )


def _latency(shipment: Shipment, where: str, *, engine_metrics: bool) -> Signal:
    slo = shipment.deployment.slo
    to_first = slo.e2e_p99 is None and slo.ttft_p99 is not None
    ours = "time_to_first_token" if to_first else "request_duration"
    name = f"gen_ai_server_{ours}_seconds_bucket"
    if engine_metrics:
        ours = "time_to_first_token" if to_first else "e2e_request_latency"
        name = f"{_VLLM}{ours}_seconds_bucket"
    promised = slo.ttft_p99 if to_first else slo.e2e_p99
    target = _given(shipment, _HEADROOM * promised if promised else _LATENCY_S)
    quantile = f"histogram_quantile(0.9, sum by (le) (rate({name}{{{where}}}[{_WINDOW}])))"
    return Signal(
        metric=None,
        # Without requests the quantile is NaN, which is no number to scale on: the comparison
        # drops it, and nothing is 0.
        query=f"({quantile} > 0) or vector(0)",
        target=target,
        sums=False,
        why=f"the 90th percentile of {'the time to first token' if to_first else 'the latency'} "
        f"stays at {target:g} s",
    )


def _tokens(shipment: Shipment, where: str, *, engine_metrics: bool) -> Signal:
    if engine_metrics:
        # vLLM tells the share of its cache and not the tokens: 80 % of it is full.
        target = _given(shipment, _HEADROOM)
        return Signal(
            metric=f"{_VLLM}kv_cache_usage_perc",
            query=f"sum({_VLLM}kv_cache_usage_perc{{{where}}})",
            target=target,
            sums=True,
            why=f"{target:.0%} of each replica's KV cache is in use",
        )
    held = (
        f"sum(pilotage_kv_cache_usage_ratio{{{where}}} * pilotage_kv_cache_tokens{{{where}}})"
        f" + sum(pilotage_queue_tokens{{{where}}})"
    )
    given = shipment.shipping.scaling.target
    if given is not None:
        return Signal(
            metric=None,
            query=held,
            target=given,
            sums=True,
            why=f"{given:g} tokens in flight for each replica",
        )
    # What a replica can hold is known once it runs: the load as a share of it.
    return Signal(
        metric=None,
        query=f"({held}) / avg(sum by (pod) (pilotage_kv_cache_tokens{{{where}}}))",
        target=_HEADROOM,
        sums=True,
        why=f"tokens in flight fill {_HEADROOM:.0%} of each replica's KV cache",
    )


def _given(shipment: Shipment, derived: float) -> float:
    given = shipment.shipping.scaling.target
    return derived if given is None else given


def _requests_a_minute(shipment: Shipment) -> float:
    """Of a replica: what the plan says it carries within the SLO, less headroom."""
    plan = shipment.plan
    if plan is None:
        return 60.0
    carried = plan.predictions.requests_per_s or plan.predictions.rate
    return round(60 * _HEADROOM * carried / max(1, shipment.sizing.desired), 1)
