"""All strategies, and what each one's hard limits say to a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle, Strategy
from pilotage.plan.strategies.bedrock_on_demand import BEDROCK_ON_DEMAND, quota_needed
from pilotage.plan.strategies.bedrock_provisioned import BEDROCK_PROVISIONED
from pilotage.plan.strategies.ecs_gpu import ECS_GPU
from pilotage.plan.strategies.ecs_neuron import ECS_NEURON
from pilotage.plan.strategies.lambda_bedrock import LAMBDA_BEDROCK
from pilotage.plan.strategies.limits import Circumstances, Rules
from pilotage.plan.strategies.machine import MACHINE
from pilotage.plan.strategies.sagemaker_async import SAGEMAKER_ASYNC
from pilotage.plan.strategies.sagemaker_realtime import SAGEMAKER_REALTIME
from pilotage.plan.strategies.sagemaker_serverless import SAGEMAKER_SERVERLESS

STRATEGIES: Final[Mapping[Strategy, Rules]] = MappingProxyType(
    {
        rules.strategy: rules
        for rules in (
            MACHINE,
            ECS_GPU,
            ECS_NEURON,
            SAGEMAKER_REALTIME,
            SAGEMAKER_ASYNC,
            SAGEMAKER_SERVERLESS,
            BEDROCK_ON_DEMAND,
            BEDROCK_PROVISIONED,
            LAMBDA_BEDROCK,
        )
    }
)
"""By name."""


def obstacles_of(
    configuration: Configuration, demand: Demand, anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    """What the hard limits of the configuration's strategy refuse of this deployment.

    Memory of accelerators, latency on hardware of one's own, and the budget are not limits of a
    strategy: the search judges them.
    """
    return STRATEGIES[configuration.strategy].check(configuration, demand, anatomy, circumstances)


def notes_of(
    configuration: Configuration, demand: Demand, circumstances: Circumstances
) -> tuple[str, ...]:
    """What a feasible option still takes for granted, a sentence each."""
    notes = []
    if configuration.strategy in ("bedrock-on-demand", "lambda-bedrock"):
        needed = quota_needed(demand)
        given = circumstances.bedrock
        if given.requests_per_minute is None or given.tokens_per_minute is None:
            notes.append(
                f"the peak needs a Bedrock quota of {needed['requests']:,.0f} requests and "
                f"{needed['tokens']:,.0f} tokens a minute"
            )
    if configuration.strategy.startswith(("bedrock", "lambda")):
        given = circumstances.bedrock
        if given.ttft_p99 is None and given.e2e_p99 is None:
            notes.append("Bedrock's latency is not known; pilotage prove measures it")
    elif STRATEGIES[configuration.strategy].limits.scales_to_zero:
        notes.append("scaled to zero, the first request after a pause waits for a start")
    return tuple(notes)
