"""Secrets of the server, by their ARNs: API keys, the token for gated models, tiers' keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.ship.graph import Parameter, Ref
from pilotage.ship.handed_in import secret_variables
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import KEYS_SECRET

KEYS_VARIABLE: Final = "PILOTAGE_KEYS"
"""The key file's content, in the container's environment."""
TOKEN_VARIABLE: Final = "HF_TOKEN"  # noqa: S105  a variable's name, not a token

_ARN_PARTS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the container is given.

    Attributes:
        variables: By the name of the variable: ARN, with a JSON key where one is given.
        parameters: ARNs that are known only once the secret is made.
    """

    variables: dict[str, object]
    parameters: tuple[Parameter, ...] = ()

    @property
    def arns(self) -> list[object]:
        """The secrets themselves, without the keys in them, each once."""
        plain = [
            ":".join(one.split(":")[:_ARN_PARTS]) if isinstance(one, str) else one
            for one in self.variables.values()
        ]
        return [one for index, one in enumerate(plain) if one not in plain[:index]]


def no_secret(layout: Layout) -> str:
    """The ARN that stands for a secret of keys that is not made yet."""
    return (
        f"arn:aws:secretsmanager:{layout.shipping.region}:000000000000:"
        f"secret:{layout.name}/keys-000000"
    )


def secrets(layout: Layout) -> Secrets:
    """The secrets of a deployment.

    The server listens beyond loopback, so it has API keys: those of the spec, or those of a secret
    of the deployment's own, which `apply` fills before anything starts.

    Raises:
        UsageError: The spec reads a variable that nothing gives the container.
    """
    shipping = layout.shipping
    further = secret_variables(layout.shipment)
    variables: dict[str, object] = {KEYS_VARIABLE: shipping.keys_secret_arn or Ref(KEYS_SECRET)}
    if shipping.hub_token_secret_arn is not None:
        variables[TOKEN_VARIABLE] = shipping.hub_token_secret_arn
    # A token that is named by its variable is the one that is meant.
    variables |= further
    if shipping.keys_secret_arn is not None:
        return Secrets(variables=variables)
    return Secrets(
        variables=variables,
        parameters=(
            Parameter(
                name=KEYS_SECRET,
                type="String",
                default=no_secret(layout),
                description="ARN of the secret with the file of API keys. As it stands here, of "
                "none.",
            ),
        ),
    )
