"""One machine: `pilotage serve` on an instance or a machine of one's own, no load balancer."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules

_LIMITS: Final = Limits(
    title="one machine",
    gpu=True,
    custom_weights=True,
    streams=True,
    scales_to_zero=False,
    source="by definition",
)


def _check(
    configuration: Configuration, _demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    found = []
    if max(configuration.count, configuration.max_count) > 1:
        count = max(configuration.count, configuration.max_count)
        found.append(
            Obstacle(
                limit="count",
                message=f"the load needs {count} machines; this strategy is one",
                relax="Take a larger machine, or several behind a load balancer (ecs-gpu)",
                shortfall=float(count),
            )
        )
    if circumstances.offered is False:
        found.append(
            Obstacle(
                limit="region",
                message=f"the region does not have {configuration.instance_type}",
                relax="Plan for another region or type",
            )
        )
    return tuple(found)


MACHINE: Final = Rules(strategy="machine", limits=_LIMITS, check=_check)
