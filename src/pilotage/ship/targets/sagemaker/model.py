"""``AWS::SageMaker::Model``: image, environment, weights, network."""

from __future__ import annotations

from typing import Any

from pilotage.errors import UsageError
from pilotage.ship.graph import Attribute, Resource
from pilotage.ship.handed_in import refuse_secrets
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import tag_list
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.environment import (
    checked,
    own_environment,
    vllm_environment,
)
from pilotage.ship.targets.sagemaker.image import Image


def model(shipment: Shipment, image: Image) -> Resource:
    """The model: no name of its own, since a changed one is made beside the old.

    Raises:
        UsageError: A secret would have to be written into its environment, or a setting is none
            that the image takes.
    """
    weights = shipment.shipping.weights_uri
    if shipment.shipping.hub_token_secret_arn is not None and weights is None:
        raise UsageError(
            "SageMaker shows a container's variables to everybody who may describe the model: a "
            "token would be readable there",
            where="shipping.hub_token_secret_arn",
            hint="Copy the weights to S3 once (pilotage fetch, aws s3 sync) and name them in "
            "shipping.weights_uri",
        )
    _check_routing(shipment, image)
    variables = vllm_environment(shipment) if image.vllm else own_environment(shipment)
    container: dict[str, Any] = {"Image": image.uri, "Environment": checked(variables)}
    if weights is not None:
        container["ModelDataSource"] = {
            "S3DataSource": {
                "S3Uri": f"{weights.rstrip('/')}/",
                "S3DataType": "S3Prefix",
                "CompressionType": "None",
            }
        }
    return Resource(
        name=names.MODEL,
        type="AWS::SageMaker::Model",
        properties={
            "ExecutionRoleArn": Attribute(names.ROLE, "Arn"),
            "PrimaryContainer": container,
            **network(shipment),
            "Tags": tag_list(shipment),
        },
    )


def _check_routing(shipment: Shipment, image: Image) -> None:
    """Refuse tiers that the container could not ask."""
    refuse_secrets(
        shipment,
        "SageMaker",
        why="shows a container's variables to everybody who may describe the model",
        hint="Take the tier from Bedrock or SageMaker, where the endpoint's role is enough, or "
        "ship to ecs, which hands secrets over by their ARN",
    )
    if image.vllm and shipment.deployment.routing is not None:
        raise UsageError(
            "AWS's vLLM image serves one model and routes to no tiers",
            where="shipping.image.uri",
            hint="Leave it out: the image that Pilotage renders routes. Or leave routing: out",
        )


def network(shipment: Shipment) -> dict[str, Any]:
    """The container's network.

    With its weights from S3, which SageMaker downloads for it, it needs none at all, unless it
    asks other tiers.
    """
    place = shipment.shipping.network
    routing = shipment.deployment.routing
    asks = routing is not None and any(
        backend.kind != "local" for tier in routing.tiers for backend in tier.backends
    )
    properties: dict[str, Any] = {
        "EnableNetworkIsolation": shipment.shipping.weights_uri is not None and not asks
    }
    if place.subnets:
        if place.vpc_id is None:
            raise UsageError(
                "subnets are given without their VPC",
                where="shipping.network.vpc_id",
                hint="Name the VPC: the containers' security group is made in it",
            )
        properties["VpcConfig"] = {
            "Subnets": list(place.subnets),
            "SecurityGroupIds": [Attribute(names.SECURITY_GROUP, "GroupId")],
        }
    return properties
