"""The network: the given subnets, or a new VPC with two public and two private ones."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.errors import UsageError
from pilotage.ship.graph import Attribute, Join, Parameter, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import ALLOWED_CIDR, VPC, ZONE_A, ZONE_B

VPC_CIDR = "10.64.0.0/16"
NAT_USD_PER_MONTH = 32.85
"""A NAT gateway in us-east-1, 730 hours at 0.045 USD, without the 0.045 USD a GB that it passes."""

# Closed until ``apply`` has asked for the range of a VPC that is not the stack's own.
_NOBODY = "127.0.0.1/32"
_PUBLIC = ("10.64.0.0/20", "10.64.16.0/20")
_PRIVATE = ("10.64.128.0/18", "10.64.192.0/18")
_SUBNETS_NEEDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Where things are placed.

    Attributes:
        resources: What is made for it; nothing in a given VPC.
        parameters: What has to be known about it.
        vpc: Its id.
        subnets: For instances and tasks.
        balancer_subnets: For the load balancer.
        clients: Address ranges that may reach the load balancer.
        notes: What it costs and does not cover.
        ways_out: Resources without which nothing in it reaches AWS.
    """

    resources: tuple[Resource, ...]
    parameters: tuple[Parameter, ...]
    vpc: object
    subnets: tuple[object, ...]
    balancer_subnets: tuple[object, ...]
    clients: tuple[object, ...]
    notes: tuple[str, ...]
    ways_out: tuple[str, ...] = ()


def network(layout: Layout) -> Network:
    """The network of a deployment.

    Raises:
        UsageError: A VPC is given without two subnets, or subnets without a VPC.
    """
    given = layout.shipping.network
    if given.vpc_id is None:
        if given.subnets or given.load_balancer_subnets:
            raise UsageError(
                "subnets are given without the VPC they are in",
                where="shipping.network.vpc_id",
                hint="Name the VPC, or leave the subnets out and a new VPC is made",
            )
        return _new(layout)
    for field, subnets in (
        ("subnets", given.subnets),
        ("load_balancer_subnets", given.load_balancer_subnets or given.subnets),
    ):
        if len(set(subnets)) < _SUBNETS_NEEDED:
            raise UsageError(
                f"a load balancer needs subnets in two zones, and {len(set(subnets))} are given",
                where=f"shipping.network.{field}",
                hint="Name two subnets in different availability zones",
            )
    return _existing(layout)


def _existing(layout: Layout) -> Network:
    given = layout.shipping.network
    parameters: tuple[Parameter, ...] = ()
    clients: tuple[object, ...] = given.allowed_cidrs
    if not clients:
        parameters = (
            Parameter(
                name=ALLOWED_CIDR,
                type="String",
                default=_NOBODY,
                description="Who may reach the load balancer: the VPC's own range, which apply "
                "looks up. As it stands here, nobody.",
            ),
        )
        clients = (Ref(ALLOWED_CIDR),)
    return Network(
        resources=(),
        parameters=parameters,
        vpc=given.vpc_id,
        subnets=given.subnets,
        balancer_subnets=given.load_balancer_subnets or given.subnets,
        clients=clients,
        notes=(
            f"Runs in the given {given.vpc_id}; its subnets must reach ECR, ECS, CloudWatch Logs "
            "and the weights' source, by NAT or by endpoints, and no address is made public.",
        ),
    )


def _new(layout: Layout) -> Network:
    region = layout.shipping.region
    public = (Ref("PublicSubnetA"), Ref("PublicSubnetB"))
    private = (Ref("PrivateSubnetA"), Ref("PrivateSubnetB"))
    given = layout.shipping.network
    return Network(
        resources=(
            *_vpc(layout.name),
            *_public_side(layout.name),
            *_private_side(layout.name),
        ),
        parameters=tuple(
            Parameter(
                name=name,
                type="AWS::EC2::AvailabilityZone::Name",
                default=f"{region}{letter}",
                description=f"A zone that offers {layout.instance.name}; apply chooses two that "
                "do, since GPU instances are not in every zone.",
            )
            for name, letter in ((ZONE_A, "a"), (ZONE_B, "b"))
        ),
        vpc=Ref(VPC),
        subnets=private,
        balancer_subnets=public if given.public else private,
        clients=given.allowed_cidrs or (VPC_CIDR,),
        ways_out=(
            "PrivateRoute",
            "PrivateRouteTableAssociationA",
            "PrivateRouteTableAssociationB",
        ),
        notes=(
            f"A new VPC with one NAT gateway: about {NAT_USD_PER_MONTH:.0f} USD a month and "
            "0.045 USD a GB, which fetched weights and images pay unless they lie in S3, whose "
            "gateway endpoint is free. Endpoints for ECR, ECS, logs and secrets instead would be "
            "eight, about 7 USD a month each in every zone. One NAT gateway is one zone: if that "
            "zone fails, what runs goes on and nothing new can start.",
        ),
    )


def _vpc(name: str) -> tuple[Resource, ...]:
    return (
        Resource(
            name=VPC,
            type="AWS::EC2::VPC",
            properties={
                "CidrBlock": VPC_CIDR,
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
                "Tags": [{"Key": "Name", "Value": name}],
            },
        ),
        Resource(name="InternetGateway", type="AWS::EC2::InternetGateway", properties={}),
        Resource(
            name="InternetGatewayAttachment",
            type="AWS::EC2::VPCGatewayAttachment",
            properties={"VpcId": Ref(VPC), "InternetGatewayId": Ref("InternetGateway")},
        ),
    )


def _public_side(name: str) -> tuple[Resource, ...]:
    attached = ("InternetGatewayAttachment",)
    return (
        *_subnets(name, "Public", _PUBLIC),
        _route_table("Public"),
        *_associations("Public"),
        Resource(
            name="PublicRoute",
            type="AWS::EC2::Route",
            properties={
                "RouteTableId": Ref("PublicRouteTable"),
                "DestinationCidrBlock": "0.0.0.0/0",
                "GatewayId": Ref("InternetGateway"),
            },
            depends_on=attached,
        ),
        Resource(
            name="NatAddress",
            type="AWS::EC2::EIP",
            properties={"Domain": "vpc"},
            depends_on=attached,
        ),
        Resource(
            name="NatGateway",
            type="AWS::EC2::NatGateway",
            properties={
                "AllocationId": Attribute("NatAddress", "AllocationId"),
                "SubnetId": Ref("PublicSubnetA"),
            },
            # Without the route it is gone too early when the stack is deleted.
            depends_on=("PublicRoute",),
        ),
    )


def _private_side(name: str) -> tuple[Resource, ...]:
    return (
        *_subnets(name, "Private", _PRIVATE),
        _route_table("Private"),
        *_associations("Private"),
        Resource(
            name="PrivateRoute",
            type="AWS::EC2::Route",
            properties={
                "RouteTableId": Ref("PrivateRouteTable"),
                "DestinationCidrBlock": "0.0.0.0/0",
                "NatGatewayId": Ref("NatGateway"),
            },
        ),
        Resource(
            name="S3Endpoint",
            type="AWS::EC2::VPCEndpoint",
            properties={
                "VpcId": Ref(VPC),
                "VpcEndpointType": "Gateway",
                "ServiceName": Join(("com.amazonaws.", Ref("AWS::Region"), ".s3")),
                "RouteTableIds": [Ref("PrivateRouteTable")],
            },
        ),
    )


def _subnets(name: str, side: str, ranges: tuple[str, str]) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            name=f"{side}Subnet{letter}",
            type="AWS::EC2::Subnet",
            properties={
                "VpcId": Ref(VPC),
                "AvailabilityZone": Ref(zone),
                "CidrBlock": block,
                # The load balancer and the NAT gateway have addresses of their own.
                "MapPublicIpOnLaunch": False,
                "Tags": [{"Key": "Name", "Value": f"{name}-{side.lower()}-{letter.lower()}"}],
            },
        )
        for letter, zone, block in zip("AB", (ZONE_A, ZONE_B), ranges, strict=True)
    )


def _route_table(side: str) -> Resource:
    return Resource(
        name=f"{side}RouteTable", type="AWS::EC2::RouteTable", properties={"VpcId": Ref(VPC)}
    )


def _associations(side: str) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            name=f"{side}RouteTableAssociation{letter}",
            type="AWS::EC2::SubnetRouteTableAssociation",
            properties={
                "RouteTableId": Ref(f"{side}RouteTable"),
                "SubnetId": Ref(f"{side}Subnet{letter}"),
            },
        )
        for letter in "AB"
    )
