"""The platforms that Pilotage ships to, one a module, each loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from pilotage.errors import UsageError

if TYPE_CHECKING:  # the local supervisor lives in this package, and needs no specs
    from pilotage.ship.target import Target
    from pilotage.spec.shipping import TargetName

# Target: its module and its class, which is made without arguments.
_TARGETS: Final[dict[str, tuple[str, str]]] = {
    "ecs": ("pilotage.ship.targets.ecs", "EcsTarget"),
    "sagemaker": ("pilotage.ship.targets.sagemaker", "SageMakerTarget"),
    "sagemaker-async": ("pilotage.ship.targets.sagemaker", "SageMakerTarget"),
    "lambda-bedrock": ("pilotage.ship.targets.lambda_bedrock", "LambdaBedrockTarget"),
    "bedrock-provisioned": (
        "pilotage.ship.targets.bedrock_provisioned",
        "BedrockProvisionedTarget",
    ),
    "kubernetes": ("pilotage.ship.targets.kubernetes", "KubernetesTarget"),
    "kserve": ("pilotage.ship.targets.kubernetes", "KServeTarget"),
    "local": ("pilotage.ship.targets.local.target", "LocalTarget"),
    "terraform": ("pilotage.ship.targets.terraform", "TerraformTarget"),
}


def target_of(name: TargetName) -> Target:
    """The platform of a name.

    Raises:
        UsageError: There is no such platform in this Pilotage.
    """
    if name not in _TARGETS:
        raise UsageError(
            f'there is no target "{name}"',
            where="shipping.target",
            hint="Targets: " + ", ".join(_TARGETS),
        )
    module, kind = _TARGETS[name]
    return cast("Target", getattr(import_module(module), kind)())
