"""Tags on everything that takes them: by them a deployment knows, and pays for, what is its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pilotage.ship.graph import Resource

TAGGED: Final = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::CloudWatch::Alarm",
        "AWS::EC2::EIP",
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCEndpoint",
        "AWS::ECR::Repository",
        "AWS::ECS::CapacityProvider",
        "AWS::ECS::Cluster",
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::IAM::Role",
        "AWS::Logs::LogGroup",
        "AWS::SecretsManager::Secret",
    }
)
"""Types with a ``Tags`` list of keys and values (CloudFormation resource schemas)."""


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as most resources take them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tagged(resource: Resource, tags: Mapping[str, str]) -> Resource:
    """The resource with the tags, in the form that its type has."""
    return replace(resource, properties={**resource.properties, **_form(resource, tags)})


def _form(resource: Resource, tags: Mapping[str, str]) -> dict[str, Any]:
    pairs = tag_list(tags)
    match resource.type:
        case "AWS::AutoScaling::AutoScalingGroup":
            return {"Tags": [{**pair, "PropagateAtLaunch": True} for pair in pairs]}
        case "AWS::EC2::LaunchTemplate":
            # The template's own tags; those of what it launches are in its data.
            return {"TagSpecifications": [{"ResourceType": "launch-template", "Tags": pairs}]}
        case "AWS::Budgets::Budget":
            return {"ResourceTags": pairs}
        case kind if kind in TAGGED:
            given = [tag for tag in resource.properties.get("Tags", []) if tag["Key"] not in tags]
            return {"Tags": [*given, *pairs]}
        case _:
            return {}
