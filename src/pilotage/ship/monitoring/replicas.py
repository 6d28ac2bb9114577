"""Rules on what serves: queue, KV cache, workers, replicas, GPUs."""

from __future__ import annotations

import math
from typing import Final

from pilotage.ship.monitoring.alert import Alert
from pilotage.ship.monitoring.series import Series, span
from pilotage.ship.monitoring.thresholds import HEADROOM, KV_FULL
from pilotage.ship.target import Shipment

_MARGIN_S: Final = 600
_FIVE_MINUTES: Final = 300
_QUEUE_S: Final = 600
_WAITING: Final = 1.0
"""Requests that wait for a replica: one is a queue, and what scaling holds unless told."""
_RESTARTS: Final = 2


def serves_itself(shipment: Shipment) -> bool:
    """Whether it has workers of its own, and not only tiers elsewhere."""
    routing = shipment.deployment.routing
    return routing is None or any(
        backend.kind == "local" for tier in routing.tiers for backend in tier.backends
    )


def replica_alerts(shipment: Shipment, series: Series) -> tuple[Alert, ...]:
    """Queues that grow, caches that are full, workers that are gone, GPUs that idle."""
    found = [_missing(shipment, series), _restarts(shipment, series)]
    if serves_itself(shipment):
        found += [
            _queue_grows(shipment, series),
            *_queue_outlasts(shipment, series),
            _cache(shipment, series),
            _down(shipment, series),
            _crash_loop(shipment, series),
        ]
    if shipment.sizing.gpus:
        found.append(_idle(shipment, series))
    return tuple(one for one in found if one is not None)


def waiting_s(series: Series) -> str:
    """How long the prompts that wait will take, at the speed that admission counts on."""
    speed = series.total(series.of("pilotage_prefill_tokens_per_second"))
    return f"{series.total(series.of('pilotage_queue_tokens'))} / ({speed} > 0)"


def _queue_grows(shipment: Shipment, series: Series) -> Alert:
    scaling = shipment.shipping.scaling
    held, why = _WAITING, "one waiting request a replica is a queue"
    if scaling.metric == "queue" and scaling.target is not None:
        held, why = scaling.target, "shipping.scaling.target holds so many a replica"
    queue = series.of("pilotage_queue_requests")
    running = f"count by ({', '.join(series.labels)}) ({series.of('pilotage_build_info')})"
    return Alert(
        name="PilotageQueueGrows",
        expression=f"{series.total(queue)} > {held:g} * {running} "
        f"and {series.total(f'deriv({queue}[{span(_QUEUE_S)}])')} > 0",
        lasting_s=_QUEUE_S,
        severity="warning",
        summary="{{ $labels.job }}: {{ $value }} requests wait, and they get more",
        advice="Scaling does not keep up, or has come to its end: see shipping.scaling.max, and "
        "whether new replicas come up.",
        reason=f"More than {held:g} for each replica: {why}.",
    )


def _queue_outlasts(shipment: Shipment, series: Series) -> tuple[Alert, ...]:
    promised = shipment.deployment.slo.ttft_p99
    if promised is None:
        return ()
    return (
        Alert(
            name="PilotageQueueNearPromise",
            expression=f"{waiting_s(series)} > {HEADROOM * promised:g}",
            lasting_s=_FIVE_MINUTES,
            severity="warning",
            summary="{{ $labels.job }}: the queue alone takes {{ $value | humanizeDuration }} "
            "until the first token",
            advice="Beyond the promise requests are refused (429). More replicas, or shorter "
            "prompts.",
            reason=f"{100 * HEADROOM:g} % of slo.ttft_p99, {promised:g} s; at the whole admission "
            "refuses.",
        ),
    )


def _cache(shipment: Shipment, series: Series) -> Alert:
    coming = _coming_s(shipment)
    return Alert(
        name="PilotageKvCacheFull",
        expression=f"{series.of('pilotage_kv_cache_usage_ratio')} > {KV_FULL:g}",
        lasting_s=coming,
        severity="warning",
        summary="{{ $labels.job }} {{ $labels.instance }} {{ $labels.worker }}: the KV cache is "
        "{{ $value | humanizePercentage }} full",
        advice="Sequences wait for room. Fewer at once (max_num_seqs), shorter ones "
        "(model.max_model_len), a smaller KV dtype, or more replicas.",
        reason=f"Above {100 * KV_FULL:g} % for {span(coming)}: a new replica that should take load "
        "off would be there by then.",
    )


def _down(shipment: Shipment, series: Series) -> Alert:
    patience = max(_FIVE_MINUTES, _minutes(2 * shipment.sizing.load_s))
    return Alert(
        name="PilotageWorkerDown",
        expression=f"{series.of('pilotage_worker_up')} == 0",
        lasting_s=patience,
        severity="critical",
        summary="{{ $labels.job }} {{ $labels.instance }}: {{ $labels.worker }} does not come up",
        advice="The server's log says why the worker ended or what it waits for.",
        reason=f"Twice the predicted load time of {shipment.sizing.load_s:,.0f} s, at least 5 "
        "minutes: a worker that starts again is back by then.",
    )


def _crash_loop(shipment: Shipment, series: Series) -> Alert:
    window = max(900, 300 * math.ceil(4 * shipment.sizing.load_s / 300))
    grown = f"increase({series.of('pilotage_worker_restarts_total')}[{span(window)}])"
    return Alert(
        name="PilotageWorkerCrashLoop",
        expression=f"{grown} > {_RESTARTS}",
        lasting_s=0,
        severity="critical",
        summary="{{ $labels.job }} {{ $labels.instance }}: {{ $labels.worker }} was started again "
        f"{{{{ $value | humanize }}}} times in {span(window)}",
        advice="The server's log says why it ends: memory, a driver, a request that kills it.",
        reason=f"More than {_RESTARTS} in a time that holds four loads of "
        f"{shipment.sizing.load_s:,.0f} s: one is an accident, three are a loop.",
    )


def _restarts(shipment: Shipment, series: Series) -> Alert:
    window = max(3600, 3600 * math.ceil(4 * shipment.sizing.grace_s / 3600))
    used = series.of("pilotage_process_cpu_seconds_total", 'process="gateway"')
    return Alert(
        name="PilotageServerCrashLoop",
        expression=f"resets({used}[{span(window)}]) > {_RESTARTS}",
        lasting_s=0,
        severity="critical",
        summary="{{ $labels.job }} {{ $labels.instance }}: the server was started again "
        f"{{{{ $value }}}} times in {span(window)}",
        advice="See the last lines before each start, and the platform's reason (out of memory, a "
        "probe that failed).",
        reason=f"More than {_RESTARTS} in a time that holds four starts of "
        f"{shipment.sizing.grace_s:,} s. Replicas that come back under another address are not "
        "seen here, but by PilotageReplicasMissing.",
    )


def _missing(shipment: Shipment, series: Series) -> Alert | None:
    sizing = shipment.sizing
    least = sizing.min_replicas
    if least == 0:
        return None
    patience = _minutes(sizing.grace_s + _MARGIN_S)
    up = series.of("up")
    return Alert(
        name="PilotageReplicasMissing",
        expression=f"({series.total(up)} or 0 * absent({up})) < {least}",
        lasting_s=patience,
        severity="critical",
        summary=f"{{{{ $labels.job }}}}: {{{{ $value }}}} of {least} replicas answer",
        advice="They crash, never come up, or no machine is to be had; or Prometheus cannot read "
        "them (address, API key).",
        reason=f"shipping.scaling.min is {least}. Longer than one takes to come up: "
        f"{sizing.grace_s:,} s with its margin, and {_MARGIN_S} s for a machine.",
    )


def _idle(shipment: Shipment, series: Series) -> Alert:
    least = shipment.shipping.alarms.gpu_idle
    return Alert(
        name="PilotageGpuIdle",
        # Over 5 minutes, as a GPU idles between two steps.
        expression=f"avg_over_time(avg({series.gpu_utilization})[5m:1m]) < {least:g}",
        lasting_s=3600,
        severity="warning",
        summary=f"{shipment.deployment.name}: the GPUs do {{{{ $value | humanize }}}} % for an "
        "hour",
        advice="Fewer or smaller ones would do: shipping.scaling.min, or a plan with the rate "
        "that the dashboard shows. Without NVIDIA's DCGM exporter this never speaks.",
        reason=f"shipping.alarms.gpu_idle is {least:g} %.",
    )


def _coming_s(shipment: Shipment) -> int:
    """Until a replica that is asked for now takes load off, seconds."""
    sizing = shipment.sizing
    return max(_FIVE_MINUTES, _minutes(sizing.fetch_s + sizing.load_s + _MARGIN_S))


def _minutes(seconds: float) -> int:
    return 60 * math.ceil(seconds / 60)
