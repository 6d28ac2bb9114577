"""How long a container may take to stop, and what the platform allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.spec.shipping import ShippingSpec, TargetName

ECS_STOP_TIMEOUT: Final = 120
"""Largest ``stopTimeout`` of a container, seconds. botocore's ContainerDefinition gives 2 to 120
for Fargate and no bound for EC2; containers-roadmap #1808 says that the same 120 was documented for
both. Longer times are for sure to be had by the agent's ``ECS_CONTAINER_STOP_TIMEOUT``, which holds
for all containers of an EC2 instance that have no ``stopTimeout`` of their own."""

SPOT_NOTICE_S: Final = 120
"""Seconds from a spot interruption's notice to the end (EC2 User Guide)."""

SAGEMAKER_STOP_S: Final = 30
"""Seconds from SIGTERM to SIGKILL at SageMaker ("Use your own inference code with hosting
services": the container gets 30 seconds)."""

_EXIT_S: Final = 10
"""Seconds to close down after the drain: workers stop, logs and the ledger are flushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """Times of an orderly end.

    Attributes:
        drain_s: Seconds that requests in flight are given.
        stop_s: Seconds from SIGTERM to SIGKILL.
        notes: Why.
    """

    drain_s: int
    stop_s: int
    notes: tuple[str, ...]


def stop_time(drain_timeout: float, shipping: ShippingSpec, target: TargetName) -> Stopping:
    """``stop = drain + 10 s``, within the platform's bound."""
    drain_s = math.ceil(drain_timeout)
    stop_s = drain_s + _EXIT_S
    notes = [f"Stop {stop_s} s = {drain_s} s of serving.drain_timeout + {_EXIT_S} s to close down."]
    if target.startswith("sagemaker") and stop_s > SAGEMAKER_STOP_S:
        stop_s = SAGEMAKER_STOP_S
        drain_s = min(drain_s, SAGEMAKER_STOP_S - _EXIT_S)
        notes = [
            f"SageMaker kills a container {SAGEMAKER_STOP_S} s after SIGTERM, so requests get "
            f"{drain_s} s to finish and not serving.drain_timeout of {drain_timeout:g} s."
        ]
    elif target in ("ecs", "terraform") and stop_s > ECS_STOP_TIMEOUT:
        notes.append(
            f"More than a container's stopTimeout ({ECS_STOP_TIMEOUT} s) allows: it is left out, "
            "and the agent's ECS_CONTAINER_STOP_TIMEOUT is set on the instances."
        )
    if shipping.scaling.spot_share > 0 and stop_s > SPOT_NOTICE_S:
        notes.append(
            f"Careful: a spot instance ends {SPOT_NOTICE_S} s after its notice, before a drain of "
            f"{drain_s} s does."
        )
    return Stopping(drain_s=drain_s, stop_s=stop_s, notes=tuple(notes))
