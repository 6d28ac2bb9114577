"""SageMaker serverless inference: CPU only, 6 GB at most."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.latency import promised_but_unknown, smallest_promise
from pilotage.plan.strategies.limits import MIB, Circumstances, Limits, Rules
from pilotage.units import format_duration

_LIMITS: Final = Limits(
    title="SageMaker serverless inference",
    request_bytes=4 * MIB,
    timeout_s=60,
    memory_bytes=6144 * MIB,
    start_s=180,
    concurrency=200,
    gpu=False,
    custom_weights=True,
    streams=False,
    scales_to_zero=True,
    source="shared/facts/aws.md, 2026-11-22: no GPU, 1 to 6 GB, 4 MB; SageMaker developer guide "
    "(serverless-endpoints-invoke) and ProductionVariantServerlessConfig: an answer within 60 s, "
    "up within 3 minutes, concurrency at most 200",
)


def _check(
    _configuration: Configuration, demand: Demand, anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    found = [
        *checks.memory(_LIMITS, anatomy, circumstances),
        *checks.payload(_LIMITS, demand),
        *checks.timeout(_LIMITS, circumstances),
        *checks.start_up(_LIMITS, circumstances),
        *checks.streaming(_LIMITS, demand, circumstances),
        *checks.concurrency(_LIMITS, demand, circumstances),
        *_cold_start(demand, circumstances),
    ]
    if circumstances.e2e_p99_s is None:
        found += promised_but_unknown(demand, _LIMITS.title, "its CPU is not published")
    return tuple(found)


def _cold_start(demand: Demand, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Bursts and rare requests meet sandboxes that must start first.

    Under a peak above the average rate more than one request in a hundred does, and with less than
    a request a minute almost all do; a p99 then holds a whole start.
    """
    promised = smallest_promise(demand)
    bursts = demand.peak > demand.rate and demand.shape == "spiky"
    if promised is None or not (bursts or demand.rate < 1 / 60):
        return ()
    start = circumstances.start_s or _LIMITS.start_s or 0.0
    if start <= promised:
        return ()
    upto = "" if circumstances.start_s else "up to "
    return (
        Obstacle(
            limit="cold start",
            message=f"a cold start takes {upto}{format_duration(start, digits=3)} and falls on "
            f"more than 1 % of such traffic; {format_duration(promised, digits=3)} is promised",
            relax="Promise more time, or pay for instances that stay up",
            shortfall=start / promised,
        ),
    )


SAGEMAKER_SERVERLESS: Final = Rules(strategy="sagemaker-serverless", limits=_LIMITS, check=_check)
