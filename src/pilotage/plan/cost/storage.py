"""Where image and weights lie between starts, and what fetching them at each start costs."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.instances import load_instances
from pilotage.catalog.prices import PriceBook
from pilotage.plan.cost.charges import Charge, charge
from pilotage.plan.cost.operation import HOURS_PER_MONTH, Operation
from pilotage.plan.cost.traffic import GIB
from pilotage.plan.option import Configuration

_SYSTEM_BYTES: Final = 30 * GIB
"""Root volume of Amazon's ECS-optimised images: 30 GiB."""

_UNPACKED: Final = 2.5
"""A container image on the disk over its compressed size: layers of wheels and CUDA libraries
unpack to about two and a half times."""


def stored(operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    """Weights in S3, the image in ECR."""
    return (
        charge("weights in S3", prices.price("s3:gb-month"), (operation.weights_bytes / GIB, "GB")),
        charge("image in ECR", prices.price("ecr:gb-month"), (operation.image_bytes / GIB, "GB")),
    )


def volumes(
    configuration: Configuration, operation: Operation, prices: PriceBook, name: str
) -> tuple[Charge, ...]:
    """Volumes of the instances, for the hours that they run; ``name`` is that of their price.

    SageMaker does not charge for volumes of instances that have disks of their own.
    """
    instance = load_instances().get((configuration.instance_type or "").removeprefix("ml."))
    if name.startswith("sagemaker") and instance is not None and instance.nvme_bytes:
        return ()
    each = _SYSTEM_BYTES + operation.image_bytes * _UNPACKED + operation.weights_bytes
    months = operation.hours(configuration.count) / HOURS_PER_MONTH
    return (charge("volumes", prices.price(name), (months, "volumes"), (each / GIB, "GB")),)


def distribution(
    configuration: Configuration, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    """Image and weights, fetched at each start through a NAT gateway.

    From S3 and ECR of the same region through gateway endpoints they cost nothing (AWS's S3 and
    ECR pricing pages); then there is no charge. The time it takes is in `Operation.start_s`.
    """
    if not operation.through_nat:
        return ()
    fetched = (operation.image_bytes + operation.weights_bytes) / GIB
    starts = operation.started(configuration.count)
    return (
        charge("NAT gateway", prices.price("nat:hour"), (HOURS_PER_MONTH, "h")),
        charge("distribution", prices.price("nat:gb"), (starts, "starts"), (fetched, "GB")),
    )
