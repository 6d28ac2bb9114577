"""SageMaker real-time endpoints: instances that AWS runs, one HTTP endpoint."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.instances import load_instances
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules

_LIMITS: Final = Limits(
    title="a SageMaker real-time endpoint",
    request_bytes=6_291_456,
    timeout_s=60,
    # InvokeEndpointWithResponseStream: eight minutes.
    stream_timeout_s=480,
    start_s=3600,
    gpu=True,
    custom_weights=True,
    streams=True,
    # Only with inference components.
    scales_to_zero=False,
    source="shared/facts/aws.md, 2026-11-22: InvokeEndpoint body 6,291,456 bytes, an answer within "
    "60 s, start-up at most 3600 s; SageMaker developer guide on streaming: 8 minutes",
)


def _check(
    configuration: Configuration, demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    return (
        *hosted(configuration, circumstances),
        *checks.payload(_LIMITS, demand),
        *checks.timeout(_LIMITS, circumstances),
        *checks.start_up(_LIMITS, circumstances),
    )


def hosted(configuration: Configuration, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Whether SageMaker hosts on this type; accelerators as on EC2."""
    name = (configuration.instance_type or "").removeprefix("ml.")
    instance = load_instances().get(name)
    if instance is not None and instance.accelerator is None:
        return ()
    if name.endswith(".metal"):
        return (Obstacle(limit="instance type", message=f"SageMaker has no ml.{name}"),)
    neuron = instance is not None and instance.neuron_chip is not None
    return checks.instance_has(configuration, circumstances, neuron=neuron)


SAGEMAKER_REALTIME: Final = Rules(strategy="sagemaker-realtime", limits=_LIMITS, check=_check)
