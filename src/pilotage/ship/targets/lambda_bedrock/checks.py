"""What a function cannot do, said before anything is rendered."""

from __future__ import annotations

import math
from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment

LARGEST_MEMORY_MIB: Final = 10_240
LONGEST_S: Final = 900
"""Lambda quotas, 2026-11-22: memory 128 to 10,240 MB, time-out at most 900 s."""

_MARGIN_S: Final = 5
"""Seconds between the router's own time-out and the function's: an answer instead of a crash."""

EVERYBODY: Final = ("0.0.0.0/0", "::/0")


def check(shipment: Shipment) -> None:
    """Refuse what a function cannot do.

    Raises:
        UsageError: The spec has no tiers, a tier needs what a function does not have, or a number
            is beyond Lambda's.
    """
    routing = shipment.deployment.routing
    if routing is None:
        raise UsageError(
            "the function is the router, and the spec has no tiers to route to",
            where="routing",
            hint="Write routing: with a tier of kind bedrock; one tier is enough",
        )
    for tier in routing.tiers:
        for backend in tier.backends:
            if backend.kind == "local":
                raise UsageError(
                    f"the tier {tier.name} is a model of the server itself; a function has none",
                    where="routing.tiers",
                    hint="Give it a backend of kind bedrock or sagemaker, or ship to ecs",
                )
            if backend.api_key_env is not None:
                raise UsageError(
                    f"the tier {tier.name} needs the key in {backend.api_key_env}: a function's "
                    "variables can be read by everybody who may describe it",
                    where="routing.tiers",
                    hint="Take the model from Bedrock or SageMaker, where the function's role is "
                    "enough, or ship to ecs, which hands secrets over by their ARN",
                )
    if routing.ledger.url_env is not None or routing.ledger.path is not None:
        raise UsageError(
            "a function keeps no ledger: its disk goes with it, and the address of a database is "
            "a secret that its variables would show",
            where="routing.ledger",
            hint="Leave ledger: out; every attempt is then a line of the function's log, which "
            "CloudWatch Logs Insights sums up",
        )
    for variable in shipment.shipping.secrets:
        raise UsageError(
            f"{variable} cannot be handed in: a function's variables can be read by everybody who "
            "may describe it",
            where="shipping.secrets",
            hint="Leave it out, or ship to ecs, which hands secrets over by their ARN",
        )
    memory = shipment.sizing.task_memory_mib
    if not 128 <= memory <= LARGEST_MEMORY_MIB:
        raise UsageError(
            f"{memory:,} MiB of memory; Lambda gives 128 to {LARGEST_MEMORY_MIB:,}",
            where="shipping.target",
            hint="Ship to ecs: a model of one's own does not fit into a function",
        )
    timeout_s(shipment)
    public(shipment)


def timeout_s(shipment: Shipment) -> int:
    """Seconds that a call may take: the router's own time-out and a margin.

    Raises:
        UsageError: It is longer than Lambda's.
    """
    routing = shipment.deployment.routing
    wanted = math.ceil(routing.timeout if routing is not None else 0) + _MARGIN_S
    if wanted > LONGEST_S:
        raise UsageError(
            f"the router waits {wanted - _MARGIN_S} s; a function ends after {LONGEST_S} s",
            where="routing.timeout",
            hint=f"Write at most {LONGEST_S - _MARGIN_S}s, or ship to ecs",
        )
    return wanted


def public(shipment: Shipment) -> bool:
    """Whether everybody may call it without a signature: only where both fields say so.

    Raises:
        UsageError: It should be reached from some addresses only, which a function URL cannot hold.
    """
    network = shipment.shipping.network
    others = [one for one in network.allowed_cidrs if one not in EVERYBODY]
    if others:
        raise UsageError(
            f"a function URL cannot be closed to all but {', '.join(others)}",
            where="shipping.network.allowed_cidrs",
            hint="Leave it out: only callers of your account with IAM's permission get in. Or "
            "ship to ecs, or put CloudFront with WAF before it",
        )
    return network.public and bool(network.allowed_cidrs)
