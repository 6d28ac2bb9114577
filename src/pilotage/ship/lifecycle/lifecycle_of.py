"""Which lifecycle a target has."""

from __future__ import annotations

from typing import cast

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.cloudformation import CloudFormationLifecycle, Options
from pilotage.ship.lifecycle.kubernetes import KubernetesLifecycle
from pilotage.ship.lifecycle.lifecycle import Lifecycle
from pilotage.ship.target import Shipment, Target
from pilotage.ship.targets import target_of
from pilotage.ship.targets.local.lifecycle import LocalLifecycle


def lifecycle_of(
    shipment: Shipment, options: Options, *, target: Target | None = None
) -> Lifecycle:
    """How a shipment is applied and destroyed.

    Raises:
        UsageError: The target is only rendered.
    """
    own = target if target is not None else target_of(shipment.target)
    if isinstance(own, Lifecycle):
        return cast(Lifecycle, own)
    match shipment.target:
        case "kubernetes" | "kserve":
            return KubernetesLifecycle(options)
        case "ecs" | "sagemaker" | "sagemaker-async" | "lambda-bedrock":
            return CloudFormationLifecycle(Aws(shipment.shipping.region), options)
        case "local":
            return LocalLifecycle(options)
        case _:
            raise UsageError(
                f"the target {shipment.target} is rendered here, and applied by its own tool",
                where="shipping.target",
                hint="terraform init && terraform apply in the rendered folder"
                if shipment.target == "terraform"
                else "render writes what it takes",
            )
