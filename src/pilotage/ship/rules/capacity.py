"""Rules of the instances: images, capacity providers, spot, volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilotage.ship.rules.reading import (
    GROUP,
    PROVIDER,
    SERVICE,
    at,
    graph_of,
    items,
    number,
    of_type,
    spot,
    target_name,
    templates,
    text,
    truth,
    user_data,
)
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_AMIS: Final = "/aws/service/ecs/optimized-ami/amazon-linux-2023/"
AMI_PATHS: Final = {
    "gpu": f"{_AMIS}gpu/recommended/image_id",
    "neuron": f"{_AMIS}neuron/recommended/image_id",
    "cpu": f"{_AMIS}recommended/image_id",
    "arm64": f"{_AMIS}arm64/recommended/image_id",
}
"""Public parameters of ECS-optimised images, by what they are for."""

_OF_ECS: Final = "/aws/service/ecs/optimized-ami/"


@rule(
    "ami-known",
    what="A parameter that does not exist fails the stack at its start; Amazon Linux 2 gets no "
    "more fixes.",
    limit="the AMI is one of amazon-linux-2023's gpu, neuron, arm64 or plain parameters; there is "
    "no inf, and AL2 ended on 2026-06-30",
)
def _ami_known(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for where, path in _ami_paths(rendered):
        if path not in AMI_PATHS.values():
            yield Finding(where, path, f"Use {AMI_PATHS[_wanted(shipment)]}")


@rule(
    "ami-fits",
    what="Without the driver of its accelerator an instance registers none, and no task is placed.",
    limit="GPU tasks run on the gpu image, Neuron tasks on the neuron image",
)
def _ami_fits(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    wanted = _wanted(shipment)
    for where, path in _ami_paths(rendered):
        if wanted != "cpu" and path in AMI_PATHS.values() and path != AMI_PATHS[wanted]:
            yield Finding(where, path, f"Use {AMI_PATHS[wanted]}")


@rule(
    "managed-scaling",
    what="Without managed scaling nothing starts instances for tasks that wait.",
    limit="ManagedScaling of a capacity provider is ENABLED",
)
def _managed_scaling(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, PROVIDER):
        status = at(one.properties, "AutoScalingGroupProvider", "ManagedScaling", "Status")
        if status != "ENABLED":
            yield Finding(
                f"{one.name}.AutoScalingGroupProvider.ManagedScaling.Status",
                str(status or "not set"),
                "Set it to ENABLED",
            )


@rule(
    "target-capacity",
    what="ECS refuses the capacity provider.",
    limit="ManagedScaling.TargetCapacity is 1 to 100 percent",
)
def _target_capacity(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, PROVIDER):
        value = number(
            at(one.properties, "AutoScalingGroupProvider", "ManagedScaling", "TargetCapacity")
        )
        if value is not None and not 1 <= value <= 100:
            yield Finding(
                f"{one.name}.AutoScalingGroupProvider.ManagedScaling.TargetCapacity",
                f"{value:g}",
                "100 keeps no instance in reserve, 50 one for each that works",
            )


@rule(
    "termination-protection",
    what="Without it scale-in ends instances on which requests are running.",
    limit="ManagedTerminationProtection of a capacity provider is ENABLED",
)
def _termination_protection(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, PROVIDER):
        value = at(one.properties, "AutoScalingGroupProvider", "ManagedTerminationProtection")
        if value != "ENABLED":
            yield Finding(
                f"{one.name}.AutoScalingGroupProvider.ManagedTerminationProtection",
                str(value or "not set"),
                "Set it to ENABLED, and NewInstancesProtectedFromScaleIn of the group to true",
            )


@rule(
    "scale-in-protection",
    what="ECS refuses managed termination protection over a group without it.",
    limit="with managed termination protection the group has NewInstancesProtectedFromScaleIn",
)
def _scale_in_protection(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    groups = {one.name: one for one in of_type(rendered, GROUP)}
    for one in of_type(rendered, PROVIDER):
        provider = at(one.properties, "AutoScalingGroupProvider", default={})
        group = groups.get(target_name(at(provider, "AutoScalingGroupArn")) or "")
        if at(provider, "ManagedTerminationProtection") != "ENABLED" or group is None:
            continue
        if not truth(group.properties.get("NewInstancesProtectedFromScaleIn")):
            yield Finding(
                f"{group.name}.NewInstancesProtectedFromScaleIn", "is not true", "Set it to true"
            )


@rule(
    "one-driver",
    what="Two that set the group's size undo each other: instances come and go without end.",
    limit="managed scaling is the only one that sets the size of its group",
)
def _one_driver(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    managed = {
        target_name(at(one.properties, "AutoScalingGroupProvider", "AutoScalingGroupArn"))
        for one in of_type(rendered, PROVIDER)
    } - {None}
    kinds = ("AWS::AutoScaling::ScalingPolicy", "AWS::AutoScaling::ScheduledAction")
    for one in of_type(rendered, *kinds):
        if target_name(one.properties.get("AutoScalingGroupName")) in managed:
            yield Finding(
                f"{one.name}.AutoScalingGroupName",
                "is a group that a capacity provider scales",
                "Scale the service (AWS::ApplicationAutoScaling::ScalingPolicy)",
            )


@rule(
    "warm-pool-spot",
    what="EC2 Auto Scaling refuses it.",
    limit="no warm pool for groups with spot instances or a mixed-instances policy",
)
def _warm_pool_spot(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    groups = {one.name: one for one in of_type(rendered, GROUP)}
    for one in of_type(rendered, "AWS::AutoScaling::WarmPool"):
        group = groups.get(target_name(one.properties.get("AutoScalingGroupName")) or "")
        mixed = group is not None and "MixedInstancesPolicy" in group.properties
        if mixed or spot(rendered):
            yield Finding(
                f"{one.name}.AutoScalingGroupName",
                "a group with spot or mixed instances",
                "Leave the warm pool out, or set shipping.scaling.spot_share to 0",
            )


@rule(
    "spot-drain",
    what="The two minutes of a spot notice pass unheard, and its requests are cut off.",
    limit="with spot instances the agent has ECS_ENABLE_SPOT_INSTANCE_DRAINING=true",
)
def _spot_drain(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    if not spot(rendered) or not any(True for _ in of_type(rendered, SERVICE)):
        return
    if "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" not in user_data(rendered).replace('"', ""):
        names = [where for where, _ in templates(rendered)] or ["LaunchTemplateData"]
        yield Finding(
            f"{names[0]}.UserData",
            "does not set it",
            "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config",
        )


@rule(
    "on-demand-base",
    what="When spot runs out, nothing is left.",
    limit="at least shipping.scaling.on_demand_base instances of a mixed group are on demand",
    source="skypilot #3255; the spec's on_demand_base",
)
def _on_demand_base(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    each = shipment.sizing.tasks_per_instance
    needed = -(-shipment.shipping.scaling.on_demand_base // each)
    for one in of_type(rendered, GROUP):
        distribution = at(one.properties, "MixedInstancesPolicy", "InstancesDistribution")
        if distribution is None:
            continue
        base = number(at(distribution, "OnDemandBaseCapacity")) or 0
        if base < needed and spot(rendered):
            yield Finding(
                f"{one.name}.MixedInstancesPolicy.InstancesDistribution.OnDemandBaseCapacity",
                f"{base:g}",
                f"Set it to {needed}",
            )


@rule(
    "imdsv2",
    what="IMDSv1 hands the instance's role to whoever makes the server fetch a URL.",
    limit='MetadataOptions.HttpTokens is "required"',
    source="EC2 User Guide, IMDSv2; checkov CKV_AWS_79",
)
def _imdsv2(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, data in templates(rendered):
        value = at(data, "MetadataOptions", "HttpTokens")
        if value != "required":
            yield Finding(
                f"{where}.MetadataOptions.HttpTokens", str(value or "not set"), 'Set "required"'
            )


@rule(
    "encrypted",
    what="Weights, logs and requests would lie on the disk as they are.",
    limit="every volume, file system and bucket is encrypted",
    source="EBS User Guide, encryption; checkov CKV_AWS_8",
)
def _encrypted(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, data in templates(rendered):
        for index, mapping in enumerate(items(data, "BlockDeviceMappings")):
            if at(mapping, "Ebs") is not None and not truth(at(mapping, "Ebs", "Encrypted")):
                yield Finding(
                    f"{where}.BlockDeviceMappings[{index}].Ebs.Encrypted", "is not true", "Set it"
                )
    for one in of_type(rendered, "AWS::EC2::Volume", "AWS::EFS::FileSystem"):
        if not truth(one.properties.get("Encrypted")):
            yield Finding(f"{one.name}.Encrypted", "is not true", "Set it to true")


@rule(
    "root-volume",
    what="The image of an engine unpacks to 20 GiB and more: the disk is full at the first pull.",
    limit="the root volume has at least what the sizing says",
)
def _root_volume(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for where, data in templates(rendered):
        sizes = [
            number(at(one, "Ebs", "VolumeSize")) or 0 for one in items(data, "BlockDeviceMappings")
        ]
        largest = max(sizes, default=0)
        if largest < shipment.sizing.root_gib:
            yield Finding(
                f"{where}.BlockDeviceMappings[].Ebs.VolumeSize",
                f"{largest:g} GiB" if largest else "the AMI's default",
                f"Set it to {shipment.sizing.root_gib}",
            )


def _ami_paths(rendered: Rendered) -> Iterator[tuple[str, str]]:
    """Parameters of ECS-optimised images, wherever they are named."""
    for parameter in graph_of(rendered).parameters:
        if "AWS::EC2::Image::Id" in parameter.type:
            yield f"Parameters.{parameter.name}.Default", parameter.default
    for where, data in templates(rendered):
        image = text(data.get("ImageId"))
        for prefix in ("resolve:ssm:", "{{resolve:ssm:"):
            if image.startswith(prefix):
                path = image.removeprefix(prefix).removesuffix("}}")
                yield f"{where}.ImageId", path
        if image.startswith(_OF_ECS):
            yield f"{where}.ImageId", image


def _wanted(shipment: Shipment) -> str:
    if shipment.sizing.neuron_devices:
        return "neuron"
    return "gpu" if shipment.sizing.gpus else "cpu"


CAPACITY_RULES: Final = (
    _ami_known,
    _ami_fits,
    _managed_scaling,
    _target_capacity,
    _termination_protection,
    _scale_in_protection,
    _one_driver,
    _warm_pool_spot,
    _spot_drain,
    _on_demand_base,
    _imdsv2,
    _encrypted,
    _root_volume,
)
