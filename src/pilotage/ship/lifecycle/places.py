"""Where a stack's network lies, asked of AWS: zones that have the machine, a given VPC's range."""

from __future__ import annotations

from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.aws import Aws

_ZONES: Final = 2  # what an application load balancer needs


def zones_with(aws: Aws, instance_type: str) -> tuple[str, str]:
    """Two zones for a new network: both have the machine if two do, else the second one does not.

    The load balancer needs two; where one zone alone has the machine, the instances are in that
    one, and the Auto Scaling group goes there when the other refuses.

    Args:
        aws: Where.
        instance_type: EC2's.

    Raises:
        UsageError: No zone has it, or the account sees one zone only.
        PilotageError: AWS cannot be asked.
    """
    usable = sorted(
        str(one["ZoneName"])
        for one in aws.call(
            "ec2",
            "describe_availability_zones",
            # Neither local zones, which have no NAT gateways, nor those that nobody opted in to.
            Filters=[
                {"Name": "zone-type", "Values": ["availability-zone"]},
                {"Name": "state", "Values": ["available"]},
                {"Name": "opt-in-status", "Values": ["opt-in-not-required", "opted-in"]},
            ],
        )["AvailabilityZones"]
    )
    offering = zones_that_offer(aws, instance_type)
    first = [one for one in usable if one in offering]
    chosen = [*first, *(one for one in usable if one not in offering)][:_ZONES]
    if not first:
        raise UsageError(
            f"no zone of {aws.region} has {instance_type}",
            where="shipping.region",
            hint="Ship to another region, or plan again for instances that this one has",
        )
    if len(chosen) < _ZONES:
        raise UsageError(
            f"the account sees one zone in {aws.region}, and a load balancer needs two",
            where="shipping.region",
            hint="Ship to another region, or name a VPC with two subnets in shipping.network",
        )
    return chosen[0], chosen[1]


def zones_that_offer(aws: Aws, instance_type: str) -> frozenset[str]:
    """The zones of the region that have an instance type.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    return frozenset(
        str(one["Location"])
        for one in aws.pages(
            "ec2",
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [instance_type]}],
        )
        if one.get("InstanceType") == instance_type
    )


def range_of(aws: Aws, vpc_id: str) -> str:
    """The first address range of a VPC.

    Raises:
        UsageError: There is no such VPC in the region.
        PilotageError: AWS cannot be asked.
    """
    answer = aws.try_call("ec2", "describe_vpcs", "InvalidVpcID.NotFound", VpcIds=[vpc_id])
    found = (answer or {}).get("Vpcs") or ()
    if not found:
        raise UsageError(
            f"{aws.region} has no VPC {vpc_id}",
            where="shipping.network.vpc_id",
            hint="aws ec2 describe-vpcs lists those that the account has there",
        )
    return str(found[0]["CidrBlock"])
