"""ECS tasks on EC2 instances with GPUs, behind a load balancer. Fargate has no GPUs."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules

_LIMITS: Final = Limits(
    title="ECS on EC2 with GPUs",
    # The balancer's idle time-out bounds the silence between two bytes, not the request.
    start_s=2_147_483_647,
    gpu=True,
    custom_weights=True,
    streams=True,
    scales_to_zero=False,
    source="shared/facts/aws.md, 2026-11-22: GPUs of a task within one instance, no GPU on "
    "Fargate, healthCheckGracePeriodSeconds at most 2,147,483,647",
)


def _check(
    configuration: Configuration, _demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    return (
        *checks.instance_has(configuration, circumstances, neuron=False),
        *checks.start_up(_LIMITS, circumstances),
    )


ECS_GPU: Final = Rules(strategy="ecs-gpu", limits=_LIMITS, check=_check)
