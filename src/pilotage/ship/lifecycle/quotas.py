"""Quotas of running instances: enough for the deployment, before anything is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pilotage.catalog.instances import Instance, load_instances
from pilotage.errors import ResourceError, UsageError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.aws_errors import DeniedError
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import OWNER_TAG
from pilotage.ship.target import Shipment


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota of vCPUs that run at once, in one account and region.

    Attributes:
        code: Service Quotas' code, under the service "ec2".
        name: Its name there.
        families: Beginnings of the instance families that count, the longest match wins.
        spot: Whether it counts spot instances, and only those.
    """

    code: str
    name: str
    families: tuple[str, ...]
    spot: bool = False


_STANDARD: Final = ("a", "c", "d", "h", "i", "m", "r", "t", "z")

QUOTAS: Final = (
    Quota(
        code="L-DB2E81BA",
        name="Running On-Demand G and VT instances",
        families=("g", "vt"),
    ),
    Quota(code="L-417A185B", name="Running On-Demand P instances", families=("p",)),
    Quota(code="L-1945791B", name="Running On-Demand Inf instances", families=("inf",)),
    Quota(code="L-2C3B7624", name="Running On-Demand Trn instances", families=("trn",)),
    Quota(
        code="L-1216C47A",
        name="Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        families=_STANDARD,
    ),
    Quota(
        code="L-3819A6DF",
        name="All G and VT Spot Instance Requests",
        families=("g", "vt"),
        spot=True,
    ),
    Quota(code="L-7212CCBC", name="All P Spot Instance Requests", families=("p",), spot=True),
    Quota(code="L-B5D1601B", name="All Inf Spot Instance Requests", families=("inf",), spot=True),
    Quota(code="L-6B0D517C", name="All Trn Spot Instance Requests", families=("trn",), spot=True),
    Quota(
        code="L-34B43A08",
        name="All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        families=_STANDARD,
        spot=True,
    ),
)
"""AWS Service Quotas, service "ec2" (EC2 user guide, quotas of On-Demand and of Spot Instances):
vCPUs. Spot has quotas of its own, which are 0 in a new account."""

_UNKNOWN: Final = (
    "NoSuchResourceException",
    "IllegalArgumentException",
    "NotImplemented",
    "404",
    "501",
)


def quota_of(instance_type: str, *, spot: bool = False) -> Quota | None:
    """The quota that an instance type counts against; None if it is not among `QUOTAS`."""
    family = instance_type.partition(".")[0]
    found = [
        (len(start), quota)
        for quota in QUOTAS
        for start in quota.families
        if quota.spot == spot
        and family.startswith(start)
        and family[len(start) : len(start) + 1].isdigit()
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


def check_quota(aws: Aws, shipment: Shipment, *, say: Say) -> None:
    """Refuse what the account may not run, on demand and on spot.

    What may not be read is said and not refused: the right to read quotas is not needed to ship.

    Raises:
        ResourceError: A quota does not hold the replicas of the start; says how to ask for more.
        PilotageError: AWS cannot be asked.
    """
    instance = load_instances().get(shipment.sizing.instance_type or "")
    if instance is None:
        return
    sizing = shipment.sizing
    # A rollout beside the old tasks needs their capacity twice.
    spare = 2 if shipment.shipping.rollout == "spare" else 1
    first = _machines(shipment, max(sizing.desired, sizing.min_replicas, 1))
    most = _machines(shipment, max(sizing.max_replicas, sizing.desired * spare))
    for spot in (False, True):
        quota = quota_of(instance.name, spot=spot)
        if quota is not None and most[spot]:
            needed = _Needed(instance=instance, first=first[spot], most=most[spot])
            _check(aws, shipment, quota, needed, say=say)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """Machines of a market: at the start, and at most."""

    instance: Instance
    first: int
    most: int


def _machines(shipment: Shipment, replicas: int) -> tuple[int, int]:
    """Machines for so many replicas, on demand and on spot, as the group rounds them."""
    scaling, each = shipment.shipping.scaling, max(1, shipment.sizing.tasks_per_instance)
    machines = math.ceil(replicas / each)
    if not scaling.spot_share:
        return machines, 0
    base = min(machines, math.ceil(scaling.on_demand_base / each))
    on_demand = base + math.ceil((machines - base) * (1 - scaling.spot_share))
    return on_demand, machines - on_demand


def _check(aws: Aws, shipment: Shipment, quota: Quota, needed: _Needed, *, say: Say) -> None:
    instance = needed.instance
    try:
        limit = _limit(aws, quota)
        others = sum(_vcpus_of_others(aws, quota, shipment))
    except DeniedError as error:
        say(Note(step="check", text=f"the quota was not checked: {error.message}"))
        return
    if limit is None:
        say(Note(step="check", text=f"the quota {quota.code} was not checked: AWS names none"))
        return
    first, most = needed.first * instance.vcpus, needed.most * instance.vcpus
    free = limit - others
    if first > free:
        raise ResourceError(
            f'the quota "{quota.name}" ({quota.code}) is {limit:g} vCPUs in {aws.region}, of which '
            f"{others} are in use by others; {first} are needed for the start and {most} at most",
            where=f"{instance.name} ({instance.vcpus} vCPUs each)",
            hint=_ask(aws, quota, others + most),
        )
    if most > free:
        say(
            Note(
                step="check",
                text=f'the quota "{quota.name}" ({quota.code}) leaves {free:g} vCPUs: enough for '
                f"the start ({first}), not for the most replicas or a rollout with spare capacity "
                f"({most}). {_ask(aws, quota, others + most)}",
                what=instance.name,
            )
        )


def check_offered(aws: Aws, shipment: Shipment) -> None:
    """Refuse an instance type that the region does not have.

    Raises:
        UsageError: It does not; names the field.
        PilotageError: AWS cannot be asked.
    """
    instance_type = shipment.sizing.instance_type
    if instance_type is None:
        return
    offered = aws.pages(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="region",
        Filters=[{"Name": "instance-type", "Values": [instance_type]}],
    )
    if not any(one.get("InstanceType") == instance_type for one in offered):
        raise UsageError(
            f"{aws.region} has no {instance_type}",
            where="shipping.region",
            hint="Ship to another region, or plan again for instances that this one has",
        )


def _limit(aws: Aws, quota: Quota) -> float | None:
    """The account's, or AWS's default where the account has none of its own."""
    for method in ("get_service_quota", "get_aws_default_service_quota"):
        answer = aws.try_call(
            "service-quotas", method, *_UNKNOWN, ServiceCode="ec2", QuotaCode=quota.code
        )
        if answer is not None:
            return float(answer["Quota"]["Value"])
    return None


def _vcpus_of_others(aws: Aws, quota: Quota, shipment: Shipment) -> Iterator[int]:
    """Virtual CPUs of the quota's instances that run and are not this deployment's."""
    instances = load_instances()
    reservations = aws.pages(
        "ec2",
        "describe_instances",
        "Reservations",
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}],
    )
    for one in (one for each in reservations for one in each["Instances"]):
        kind = str(one["InstanceType"])
        if quota_of(kind, spot=one.get("InstanceLifecycle") == "spot") is not quota:
            continue
        tags: dict[str, Any] = {tag["Key"]: tag["Value"] for tag in one.get("Tags") or ()}
        if tags.get(OWNER_TAG) == shipment.deployment.name:
            continue
        known = instances.get(kind)
        cpu = one.get("CpuOptions") or {}
        yield known.vcpus if known else cpu.get("CoreCount", 0) * cpu.get("ThreadsPerCore", 1)


def _ask(aws: Aws, quota: Quota, wanted: float) -> str:
    return (
        "Ask for more: aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {quota.code} --desired-value {wanted:g} --region {aws.region}"
    )
