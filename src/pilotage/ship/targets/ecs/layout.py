"""What every part of the stack needs to know: the machine, how many, which image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from pilotage.catalog.instances import Instance, load_instances
from pilotage.errors import UsageError
from pilotage.ship.sizing import Sizing
from pilotage.ship.target import Shipment
from pilotage.spec.shipping import ShippingSpec

Kind = Literal["gpu", "neuron", "cpu"]

AMI_PARAMETERS: Final[dict[tuple[Kind, str], str]] = {
    ("gpu", "amd64"): "amazon-linux-2023/gpu",
    ("neuron", "amd64"): "amazon-linux-2023/neuron",
    ("cpu", "amd64"): "amazon-linux-2023",
    ("cpu", "arm64"): "amazon-linux-2023/arm64",
}
"""Names of the ECS-optimised AMIs (AL2 ended on 2026-06-30; AL2023 has no ``inf``).

Source: Amazon ECS developer guide, "Retrieving Amazon ECS-optimized Linux AMI metadata".
"""

_MIB = 1 << 20
# Larger machines with the same accelerators that spot may take instead: more pools to draw from.
_MOST_SIBLINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A shipment on ECS.

    Attributes:
        shipment: What is shipped.
        instance: The machine it is sized for.
        kind: What it computes on.
        replicas_per_instance: Tasks that one machine holds.
    """

    shipment: Shipment
    instance: Instance
    kind: Kind
    replicas_per_instance: int

    @property
    def name(self) -> str:
        """The stack's."""
        return self.shipment.name

    @property
    def deployment(self) -> str:
        """The deployment's name, which metrics carry."""
        return self.shipment.deployment.name

    @property
    def sizing(self) -> Sizing:
        """The numbers."""
        return self.shipment.sizing

    @property
    def shipping(self) -> ShippingSpec:
        """The spec's section."""
        return self.shipment.shipping

    @property
    def spot(self) -> bool:
        """Whether some of the machines may be taken back."""
        return self.shipping.scaling.spot_share > 0

    @property
    def most_instances(self) -> int:
        """Machines at most: twice the replicas where new tasks start beside the old ones."""
        copies = 2 if self.shipping.rollout == "spare" else 1
        return math.ceil(copies * self.sizing.max_replicas / self.replicas_per_instance)

    @property
    def metrics_namespace(self) -> str:
        """Where the deployment's own metrics are in CloudWatch."""
        return f"Pilotage/{self.deployment}"

    @property
    def ami_parameter(self) -> str:
        """The SSM parameter that names the newest AMI for the machine."""
        folder = AMI_PARAMETERS[self.kind, self.instance.architecture]
        return f"/aws/service/ecs/optimized-ami/{folder}/recommended/image_id"

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Instance types that may be used, best first; one where nothing is on spot."""
        if not self.spot:
            return (self.instance.name,)
        return (self.instance.name, *_siblings(self.instance)[:_MOST_SIBLINGS])


def layout(shipment: Shipment) -> Layout:
    """The layout of a shipment.

    Raises:
        UsageError: It cannot run on ECS.
    """
    sizing = shipment.sizing
    if sizing.instance_type is None:
        raise UsageError(
            "the plan names no instance type, and ECS runs this on instances",
            where="shipping.target",
            hint="Plan with an instance strategy (ecs-gpu), or choose another target",
        )
    instance = load_instances().get(sizing.instance_type)
    if instance is None:
        raise UsageError(
            f'the catalog has no instance type "{sizing.instance_type}"',
            where="plan.deployment.instance_type",
            hint='"pilotage catalog show" lists those it has',
        )
    kind: Kind = "gpu" if sizing.gpus else "neuron" if sizing.neuron_devices else "cpu"
    _check_devices(instance, sizing)
    if (kind, instance.architecture) not in AMI_PARAMETERS:
        raise UsageError(
            f"there is no ECS-optimised AMI for {kind} on {instance.architecture}",
            where="plan.deployment.instance_type",
            hint="Plan with an amd64 instance, such as g5 or g6e",
        )
    if sizing.neuron_devices and sizing.tasks_per_instance > 1:
        raise UsageError(
            f"{sizing.tasks_per_instance} tasks are to share a {instance.name}, and ECS hands "
            "Neuron devices out by their paths, the same ones to every task",
            where="plan.deployment.instance_type",
            hint="Plan with an instance whose chips one replica uses, such as inf2.xlarge",
        )
    _check_scaling(shipment)
    return Layout(
        shipment=shipment,
        instance=instance,
        kind=kind,
        replicas_per_instance=_replicas_per_instance(instance, sizing),
    )


def _check_devices(instance: Instance, sizing: Sizing) -> None:
    wanted = sizing.gpus or sizing.neuron_devices
    if not wanted:
        return
    has = instance.accelerator.count if instance.accelerator else 0
    is_neuron = instance.neuron_chip is not None
    if wanted > has or is_neuron != bool(sizing.neuron_devices):
        what = "Neuron devices" if sizing.neuron_devices else "GPUs"
        raise UsageError(
            f"a task needs {wanted} {what}, and {instance.name} has "
            f"{has} {'Neuron devices' if is_neuron else 'GPUs'}",
            where="plan.deployment.instance_type",
            hint="The containers of a task share one instance: plan with a larger one",
        )


def _check_scaling(shipment: Shipment) -> None:
    if shipment.sizing.min_replicas < 1:
        raise UsageError(
            "an ECS service behind a load balancer cannot come back from zero by itself: without "
            "a replica there is no metric that could start one",
            where="shipping.scaling.min",
            hint="Set min: 1, or choose sagemaker-async or kserve, which can",
        )


def _replicas_per_instance(instance: Instance, sizing: Sizing) -> int:
    fits = [
        max(1, sizing.tasks_per_instance),
        instance.vcpus * 1024 // max(sizing.task_cpu, 1),
        instance.memory_bytes // (max(sizing.task_memory_mib, 1) * _MIB),
    ]
    if sizing.neuron_devices:
        # A task names its devices (/dev/neuron0 …): a second one would name the same.
        fits.append(1)
    elif sizing.gpus and instance.accelerator:
        fits.append(instance.accelerator.count // sizing.gpus)
    return max(1, min(fits))


def _siblings(instance: Instance) -> tuple[str, ...]:
    """Larger machines of the family with the same accelerators, smallest first."""
    alike = [
        one
        for one in load_instances().values()
        if one.family == instance.family
        and one.name != instance.name
        and one.accelerator == instance.accelerator
        and one.vcpus >= instance.vcpus
        and one.memory_bytes >= instance.memory_bytes
        and (one.nvme_bytes > 0) == (instance.nvme_bytes > 0)
        and not one.name.endswith(".metal")
    ]
    return tuple(one.name for one in sorted(alike, key=lambda one: (one.vcpus, one.name)))
