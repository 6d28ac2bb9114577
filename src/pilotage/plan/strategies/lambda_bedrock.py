"""A Lambda function in front of Bedrock on demand: one's own API without a server."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.bedrock_on_demand import quotas, sold
from pilotage.plan.strategies.latency import bedrock_latency
from pilotage.plan.strategies.limits import MIB, Circumstances, Limits, Rules

_LIMITS: Final = Limits(
    title="Lambda with Bedrock",
    request_bytes=6 * MIB,
    timeout_s=900,
    memory_bytes=10_240 * MIB,
    gpu=False,
    custom_weights=False,
    # Through function URLs or InvokeWithResponseStream.
    streams=True,
    scales_to_zero=True,
    source="shared/facts/aws.md, 2026-11-22: 10,240 MB, 900 s, 6 MB payload",
)


def _check(
    _configuration: Configuration, demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    return (
        *sold(circumstances, demand),
        *checks.payload(_LIMITS, demand),
        *checks.timeout(_LIMITS, _with_given(circumstances)),
        *bedrock_latency(demand, circumstances.bedrock, _LIMITS.title),
        *quotas(demand, circumstances),
    )


def _with_given(circumstances: Circumstances) -> Circumstances:
    """The function waits as long as Bedrock takes, by the user's figures."""
    return Circumstances(model=circumstances.model, e2e_p99_s=circumstances.bedrock.e2e_p99)


LAMBDA_BEDROCK: Final = Rules(strategy="lambda-bedrock", limits=_LIMITS, check=_check)
