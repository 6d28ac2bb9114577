"""The rule that everything that is made is known as ours, so that nothing else is ever touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.graph import Resource
from pilotage.ship.rules.pods import documents
from pilotage.ship.rules.reading import at, graph_of, items, text
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_TAGGED: Final = frozenset(
    {
        "AWS::AutoScaling::AutoScalingGroup",
        "AWS::EC2::EIP",
        "AWS::EC2::InternetGateway",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::NatGateway",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::VPC",
        "AWS::ECR::Repository",
        "AWS::ECS::CapacityProvider",
        "AWS::ECS::Cluster",
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SageMaker::Endpoint",
        "AWS::SageMaker::EndpointConfig",
        "AWS::SageMaker::InferenceComponent",
        "AWS::SageMaker::Model",
        "AWS::SecretsManager::Secret",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
    }
)
"""Types that take tags (CloudFormation's resource schemas) and outlive, cost or hold something."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""The label by which Kubernetes objects are known as ours; its value is "pilotage"."""


@rule(
    "owned",
    what="What has no tag of ours is never found again: it stays behind and costs.",
    limit="every resource that takes tags has pilotage:deployment and pilotage:target",
    source="the project's rule: never touch what it did not make",
)
def _owned(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for one in graph_of(rendered).resources:
        if one.type not in _TAGGED:
            continue
        tags = _tags(one)
        missing = [name for name, value in shipment.tags.items() if tags.get(name) != value]
        if missing:
            yield Finding(
                f"{one.name}.Tags", f"lacks {', '.join(missing)}", "Add what Shipment.tags says"
            )


@rule(
    "owned-objects",
    what="What has no label of ours is never found again.",
    limit=f'every Kubernetes object has the label {MANAGED_BY}: "pilotage"',
    source="Kubernetes, recommended labels; the project's rule",
)
def _owned_objects(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, document in documents(rendered):
        if document.get("kind") in ("Kustomization", "List"):
            continue
        if text(at(document, "metadata", "labels", MANAGED_BY)) != "pilotage":
            yield Finding(
                f"{where}.metadata.labels", f"lacks {MANAGED_BY}", f"Add {MANAGED_BY}: pilotage"
            )


def _tags(resource: Resource) -> dict[str, str]:
    """Tags by name, in whichever form the type has them."""
    held: Any = resource.properties.get("Tags")
    if isinstance(held, Mapping):
        return {str(key): text(value) for key, value in held.items()}
    pairs = list(items(resource.properties, "Tags"))
    for place in (resource.properties, at(resource.properties, "LaunchTemplateData")):
        for specification in items(place, "TagSpecifications"):
            pairs += items(specification, "Tags")
    return {text(at(pair, "Key")): text(at(pair, "Value")) for pair in pairs}


OWNERSHIP_RULES: Final = (_owned, _owned_objects)
