"""From two readings of the metrics to what happened in between, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import msgspec

from pilotage.cli.top_reading import TTFT, Reading
from pilotage.devices.numbers import parse_ranges
from pilotage.devices.use import DeviceUse

_REQUESTS = "gen_ai_server_request_duration_seconds_count"


class ModelOnSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A model on one slice: its memory and the requests it runs there."""

    model: str
    memory_bytes: int
    running: int


class SliceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One worker and its device slice. None where the server does not say, or not yet.

    Attributes:
        worker: The worker's name.
        device: Its slice, such as ``cuda:0``.
        up: Whether it is ready.
        restarts: How often it was started again.
        running: Sequences it generates.
        utilisation: Share of the time in which its engines computed: seconds in steps by seconds.
        cpu_cores: CPU cores that its process used.
        tokens_per_s: Tokens it generated a second.
        batch: Mean sequences in a step.
        kv_usage: Share of its KV cache in use, 0 to 1.
        kv_tokens: Tokens its KV cache holds.
        models: What is loaded on it.
        devices: What the driver says of its accelerators, by their numbers.
    """

    worker: str
    device: str = ""
    up: bool = False
    restarts: int = 0
    running: int = 0
    utilisation: float | None = None
    cpu_cores: float | None = None
    tokens_per_s: float | None = None
    batch: float | None = None
    kv_usage: float = 0.0
    kv_tokens: int = 0
    models: tuple[ModelOnSlice, ...] = ()
    devices: Mapping[int, DeviceUse] = {}


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One model over all slices.

    Attributes:
        model: Its name.
        queue: Sequences that wait for it; None if the server does not tell them apart.
        requests_per_s: Answers a second; None before the second reading.
        ttft_p50_s: Median time to the first token of the answers since the last reading, seconds.
        ttft_p95_s: What 95 % of them stayed below.
    """

    model: str
    queue: int | None = None
    requests_per_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The server as a whole, its models, its slices.

    Attributes:
        interval_s: Seconds since the reading before; None if this is the first.
        version: Of the server.
        queue: Sequences that wait for a worker.
        queue_tokens: Their prompt tokens.
        in_flight: Requests that are being answered.
        tokens_per_s: Tokens generated a second.
        requests_per_s: Answers a second.
        refused_per_s: Requests refused a second.
        models: By name.
        slices: By worker.
    """

    interval_s: float | None
    version: str
    queue: int
    queue_tokens: int
    in_flight: int
    tokens_per_s: float | None
    requests_per_s: float | None
    refused_per_s: float | None
    models: tuple[ModelFigures, ...]
    slices: tuple[SliceFigures, ...]


def figures(
    before: Reading | None, now: Reading, uses: Mapping[str, Mapping[int, DeviceUse]] | None = None
) -> Figures:
    """What happened between two readings.

    Args:
        before: The earlier one; without it there are no rates.
        now: The later one.
        uses: What drivers say: by kind (``cuda``, ``neuron``), then by number.
    """
    between = _Between(before, now)
    return Figures(
        interval_s=between.seconds,
        version=now.version,
        queue=round(now.total("pilotage_queue_requests")),
        queue_tokens=round(now.total("pilotage_queue_tokens")),
        in_flight=round(now.total("pilotage_requests_in_flight")),
        tokens_per_s=between.rate("pilotage_generated_tokens_total"),
        requests_per_s=between.rate(_REQUESTS),
        refused_per_s=between.rate("pilotage_requests_rejected_total"),
        models=tuple(_model(between, name) for name in _models(now)),
        slices=tuple(
            _slice(between, worker, uses or {})
            for worker in sorted(
                now.values("pilotage_worker_up", "worker"), key=lambda name: (len(name), name)
            )
        ),
    )


def quantile(bounds: Mapping[float, float], q: float) -> float | None:
    """A quantile of a histogram, interpolated within its bucket as PromQL does.

    Args:
        bounds: Cumulative counts by upper bound, ``inf`` among them.
        q: 0 to 1.

    Returns:
        The quantile; the highest finite bound if it lies above that; None without observations.
    """
    ordered = sorted(bounds.items())
    if not ordered or ordered[-1][1] <= 0:
        return None
    wanted = q * ordered[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in ordered:
        if count >= wanted and count > below:
            if upper == inf:
                return lower
            return lower + (upper - lower) * (wanted - below) / (count - below)
        lower, below = upper, count
    return None


class _Between:
    """Growth of counters from one reading to the next.

    A series that fell belongs to a process that was started again and counts from zero.
    """

    def __init__(self, before: Reading | None, now: Reading) -> None:
        self.now = now
        self._before = before
        self.seconds = None if before is None else max(1e-9, now.at - before.at)

    def growth(self, name: str, **labels: str) -> float:
        earlier = (
            {}
            if self._before is None
            else {
                frozenset(found.items()): value
                for found, value in self._before.having(name, **labels)
            }
        )
        total = 0.0
        for found, value in self.now.having(name, **labels):
            old = earlier.get(frozenset(found.items()), 0.0)
            total += value - old if value >= old else value
        return total

    def rate(self, name: str, **labels: str) -> float | None:
        return None if self.seconds is None else self.growth(name, **labels) / self.seconds

    def told_rate(self, name: str, **labels: str) -> float | None:
        """`rate`, or None if the server has no such series."""
        return self.rate(name, **labels) if any(self.now.having(name, **labels)) else None


def _models(now: Reading) -> tuple[str, ...]:
    names = {
        *now.values("pilotage_model_memory_bytes", "model"),
        *now.values("pilotage_model_queue_requests", "model"),
        *now.values(f"{TTFT}_count", "gen_ai_request_model"),
    }
    return tuple(sorted(names - {""}))


def _model(between: _Between, model: str) -> ModelFigures:
    buckets = {}
    if between.seconds is not None:
        for bound in between.now.values(f"{TTFT}_bucket", "le"):
            grown = between.growth(f"{TTFT}_bucket", gen_ai_request_model=model, le=bound)
            buckets[float(bound)] = grown
    queue = list(between.now.having("pilotage_model_queue_requests", model=model))
    return ModelFigures(
        model=model,
        queue=round(sum(value for _, value in queue)) if queue else None,
        requests_per_s=between.rate(_REQUESTS, gen_ai_request_model=model),
        ttft_p50_s=quantile(buckets, 0.5),
        ttft_p95_s=quantile(buckets, 0.95),
    )


def _slice(
    between: _Between, worker: str, uses: Mapping[str, Mapping[int, DeviceUse]]
) -> SliceFigures:
    now = between.now
    devices = (
        labels["device"] for labels, _ in now.having("pilotage_worker_device_info", worker=worker)
    )
    device = next(devices, "")
    busy = between.told_rate("pilotage_engine_step_seconds_sum", worker=worker)
    steps = between.growth("pilotage_engine_steps_total", worker=worker)
    sequences = between.growth("pilotage_engine_step_sequences_total", worker=worker)
    return SliceFigures(
        worker=worker,
        device=device,
        up=now.total("pilotage_worker_up", worker=worker) > 0,
        restarts=round(now.total("pilotage_worker_restarts_total", worker=worker)),
        running=round(now.total("pilotage_running_requests", worker=worker)),
        # A step that began before the first reading is counted in full when it ends.
        utilisation=None if busy is None else min(1.0, busy),
        cpu_cores=between.told_rate(
            "pilotage_process_cpu_seconds_total", process=f"worker-{worker}"
        ),
        tokens_per_s=between.told_rate("pilotage_worker_generated_tokens_total", worker=worker),
        batch=sequences / steps if between.seconds is not None and steps else None,
        kv_usage=now.total("pilotage_kv_cache_usage_ratio", worker=worker),
        kv_tokens=round(now.total("pilotage_kv_cache_tokens", worker=worker)),
        models=tuple(
            ModelOnSlice(
                model=labels["model"],
                memory_bytes=round(value),
                running=round(
                    now.total(
                        "pilotage_model_running_requests", worker=worker, model=labels["model"]
                    )
                ),
            )
            for labels, value in now.having("pilotage_model_memory_bytes", worker=worker)
        ),
        devices=_uses(device, uses),
    )


def _uses(device: str, uses: Mapping[str, Mapping[int, DeviceUse]]) -> dict[int, DeviceUse]:
    kind, _, numbers = device.partition(":")
    known = uses.get(kind, {})
    try:
        return {number: known[number] for number in parse_ranges(numbers) if number in known}
    except ValueError:
        return {}
