"""SageMaker asynchronous inference: a queue in front of an endpoint, answers in S3."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules
from pilotage.plan.strategies.sagemaker_realtime import hosted

_LIMITS: Final = Limits(
    title="SageMaker asynchronous inference",
    request_bytes=1 << 30,
    timeout_s=3600,
    start_s=3600,
    gpu=True,
    custom_weights=True,
    streams=False,
    scales_to_zero=True,
    source="shared/facts/aws.md, 2026-11-22: up to 1 GB and 3600 s, scales to zero",
)


def _check(
    configuration: Configuration, demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    return (
        *hosted(configuration, circumstances),
        *checks.payload(_LIMITS, demand),
        *checks.timeout(_LIMITS, circumstances),
        *checks.start_up(_LIMITS, circumstances),
        *checks.streaming(_LIMITS, demand, circumstances),
    )


SAGEMAKER_ASYNC: Final = Rules(strategy="sagemaker-async", limits=_LIMITS, check=_check)
