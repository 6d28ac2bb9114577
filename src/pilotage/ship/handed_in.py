"""Variables that a server needs at run time and no file may hold: tiers' keys, a ledger's address.

The spec names the variables (``api_key_env``, ``url_env``); ``shipping.secrets`` says which secret
each of them is. A platform that hands secrets over by ARN gets both; one that cannot is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment


def wanted_variables(shipment: Shipment) -> Mapping[str, str]:
    """Names of the variables that the spec reads, with who wants each: "the tier big"."""
    routing = shipment.deployment.routing
    if routing is None:
        return {}
    found: dict[str, str] = {}
    for tier in routing.tiers:
        for backend in tier.backends:
            if backend.api_key_env is not None:
                found.setdefault(backend.api_key_env, f"the tier {tier.name}")
    if routing.ledger.url_env is not None:
        found.setdefault(routing.ledger.url_env, "the ledger")
    return found


def secret_variables(shipment: Shipment) -> Mapping[str, str]:
    """ARN of the secret of every variable, with all that the spec reads among them.

    Raises:
        UsageError: Nothing gives the container a variable that the spec reads.
    """
    given = shipment.shipping.secrets
    for name, who in wanted_variables(shipment).items():
        if name not in given:
            raise UsageError(
                f"{who} reads the variable {name}, which nothing gives the container",
                where="shipping.secrets",
                hint=f"Put its value into Secrets Manager, and write secrets: {{{name}: ARN}}, "
                "with the key behind the ARN where the secret is JSON (ARN:KEY::)",
            )
    return given


def refuse_secrets(shipment: Shipment, platform: str, *, why: str, hint: str) -> None:
    """Refuse a shipment whose spec needs secrets on a platform that hands none over.

    Args:
        shipment: What is shipped.
        platform: For the message.
        why: What the platform does with variables, a sentence without its subject.
        hint: What to do.

    Raises:
        UsageError: The spec needs one.
    """
    for name, who in wanted_variables(shipment).items():
        raise UsageError(
            f"{who} reads the variable {name}, and {platform} {why}", where="routing", hint=hint
        )
    for name in shipment.shipping.secrets:
        raise UsageError(
            f"{platform} {why}: {name} cannot be handed in",
            where="shipping.secrets",
            hint=hint,
        )
