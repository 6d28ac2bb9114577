"""The canary: the same spec under a name of its own, with one replica.

It is a deployment like any other: its stack, service or release is `pilotage-NAME-canary`, and its
tags and labels say so. So it never touches the real one, and every verb works on it.
"""

from __future__ import annotations

from typing import Final

from pilotage.errors import UsageError
from pilotage.spec import Deployment, PlanFile
from pilotage.spec.shipping import ScalingSpec, ShippingSpec

SUFFIX: Final = "-canary"

LONGEST: Final = 38
"""Letters of a name that can have a canary. Kubernetes cuts names at 63, and what is cut is the end
that tells the canary from the real one: "pilotage-" (9), the name, "-canary" (7) and the longest
suffix of an object ("-metrics", 8) stay below it, with one to spare."""


def canary(deployment: Deployment, plan: PlanFile | None) -> tuple[Deployment, PlanFile | None]:
    """The canary of a deployment, and the plan it follows: one replica, never on spot.

    Args:
        deployment: The real one.
        plan: Its plan.

    Raises:
        UsageError: It cannot have one.
    """
    if len(deployment.name) > LONGEST:
        raise UsageError(
            f'"{deployment.name}" has {len(deployment.name)} characters, and its canary\'s name '
            f"would be cut; at most {LONGEST} can have one",
            where="--canary",
            hint="Choose a shorter name",
        )
    name = deployment.name + SUFFIX
    shipping = deployment.shipping or ShippingSpec()
    metric = shipping.scaling.metric
    scaling = ScalingSpec(min=1, max=1, metric=metric, target=shipping.scaling.target)
    changed = {"scaling": scaling, "output": None}  # a folder holds one deployment
    alone = deployment.model_copy(
        update={"name": name, "shipping": shipping.model_copy(update=changed)}
    )
    if plan is None:
        return alone, None
    # As many replicas share the one instance as share each of the plan's.
    planned = plan.deployment
    replicas = (planned.model_extra or {}).get("replicas")
    each = max(1, replicas // planned.count) if isinstance(replicas, int) else None
    update = {"count": 1, "max_count": 1, **({"replicas": each} if each else {})}
    one = planned.model_copy(update=update)
    return alone, plan.model_copy(update={"name": name, "deployment": one})
