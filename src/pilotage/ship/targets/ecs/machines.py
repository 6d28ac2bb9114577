"""The machines: how one is made (launch template), and the group that holds them."""

from __future__ import annotations

from typing import Any, Final

from pilotage.ship.graph import Attribute, Parameter, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    AMI,
    INSTANCE_GROUP,
    INSTANCE_PROFILE,
    LAUNCH_TEMPLATE,
    SCALING_GROUP,
)
from pilotage.ship.targets.ecs.network import Network
from pilotage.ship.targets.ecs.tagging import tag_list
from pilotage.ship.targets.ecs.user_data import WEIGHTS_DEVICE, user_data

WEIGHTS_MIB_PER_S: Final = 500
"""Throughput of a volume for weights. gp3's own 125 would take minutes to read what a GPU holds."""

_ROOT_DEVICE: Final = "/dev/xvda"


def ami_parameter(layout: Layout) -> Parameter:
    """The newest AMI for the machine, asked for when the stack is made or changed."""
    return Parameter(
        name=AMI,
        type="AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
        default=layout.ami_parameter,
        description="SSM parameter that names the newest ECS-optimised AMI. A change makes new "
        "machines of it, and leaves those that run.",
    )


def machines(layout: Layout, network: Network) -> tuple[Resource, ...]:
    """Launch template and Auto Scaling group."""
    return (
        Resource(
            name=LAUNCH_TEMPLATE,
            type="AWS::EC2::LaunchTemplate",
            properties={"LaunchTemplateData": _launch_data(layout)},
        ),
        Resource(
            name=SCALING_GROUP,
            type="AWS::AutoScaling::AutoScalingGroup",
            properties=_group(layout, network),
        ),
    )


def _launch_data(layout: Layout) -> dict[str, Any]:
    tags = tag_list({**layout.shipment.tags, "Name": layout.name})
    return {
        "ImageId": Ref(AMI),
        "InstanceType": layout.instance.name,
        "IamInstanceProfile": {"Arn": Attribute(INSTANCE_PROFILE, "Arn")},
        "SecurityGroupIds": [Ref(INSTANCE_GROUP)],
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            # IMDSv2 only, and one hop: not from a container's own network.
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "Monitoring": {"Enabled": True},
        "BlockDeviceMappings": _volumes(layout),
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags}
            for kind in ("instance", "volume", "network-interface")
        ],
        "UserData": user_data(layout),
    }


def _volumes(layout: Layout) -> list[dict[str, Any]]:
    sizing = layout.sizing
    encrypted = {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    volumes = [{"DeviceName": _ROOT_DEVICE, "Ebs": {**encrypted, "VolumeSize": sizing.root_gib}}]
    if not sizing.instance_store:
        volumes.append(
            {
                "DeviceName": WEIGHTS_DEVICE,
                "Ebs": {
                    **encrypted,
                    "VolumeSize": sizing.weights_gib,
                    "Throughput": WEIGHTS_MIB_PER_S,
                    "Iops": 3000,
                },
            }
        )
    return volumes


def _group(layout: Layout, network: Network) -> dict[str, Any]:
    specification = {
        "LaunchTemplateId": Ref(LAUNCH_TEMPLATE),
        "Version": Attribute(LAUNCH_TEMPLATE, "LatestVersionNumber"),
    }
    group: dict[str, Any] = {
        # The capacity provider decides how many there are, and nobody else.
        "MinSize": "0",
        "MaxSize": str(layout.most_instances),
        "VPCZoneIdentifier": list(network.subnets),
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": 300,
        "NewInstancesProtectedFromScaleIn": True,
        "MetricsCollection": [{"Granularity": "1Minute"}],
    }
    if not layout.spot:
        return {**group, "LaunchTemplate": specification}
    scaling = layout.shipping.scaling
    return {
        **group,
        "MixedInstancesPolicy": {
            "InstancesDistribution": {
                "OnDemandAllocationStrategy": "prioritized",
                # The spec counts replicas, the group machines.
                "OnDemandBaseCapacity": -(-scaling.on_demand_base // layout.replicas_per_instance),
                "OnDemandPercentageAboveBaseCapacity": round(100 * (1 - scaling.spot_share)),
                "SpotAllocationStrategy": "price-capacity-optimized",
            },
            "LaunchTemplate": {
                "LaunchTemplateSpecification": specification,
                "Overrides": [{"InstanceType": one} for one in layout.instance_types],
            },
        },
    }
