"""ECS tasks on Inferentia and Trainium instances."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules

_LIMITS: Final = Limits(
    title="ECS on Inferentia or Trainium",
    start_s=2_147_483_647,
    gpu=True,
    custom_weights=True,
    streams=True,
    scales_to_zero=False,
    source="shared/facts/aws.md, 2026-11-22: current Neuron vLLM runs Trn2 and Trn3 only, Inf2 "
    "needs an image of the 2.26 era",
)


def _check(
    configuration: Configuration, _demand: Demand, anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    found = list(checks.instance_has(configuration, circumstances, neuron=True))
    name = configuration.instance_type or ""
    if name.startswith("inf1.") and not anatomy.encoder:
        found.append(
            Obstacle(
                limit="engine",
                message="no maintained engine generates text on Inferentia1 (NeuronCore-v1)",
                relax="Take inf2, trn1 or trn2; inf1 runs compiled encoders",
            )
        )
    kinds = {group.attention.kind for group in anatomy.layers}
    if kinds & {"linear", "mla"}:
        found.append(
            Obstacle(
                limit="engine",
                message=f"{anatomy.family} has {' and '.join(sorted(kinds & {'linear', 'mla'}))} "
                "attention, which Neuron's engines do not compile",
                relax="Take a GPU",
            )
        )
    return (*found, *checks.start_up(_LIMITS, circumstances))


ECS_NEURON: Final = Rules(strategy="ecs-neuron", limits=_LIMITS, check=_check)
