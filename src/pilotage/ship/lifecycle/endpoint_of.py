"""Where the model of a stack is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.ship.lifecycle.asking import Endpoint, HttpEndpoint
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.balancer import Balancer, balancer_in
from pilotage.ship.lifecycle.certificate import check_certificate
from pilotage.ship.lifecycle.sagemaker_endpoints import AsyncEndpoint, SageMakerEndpoint
from pilotage.ship.lifecycle.stack import Stack, StackResource
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Shipment

_SAGEMAKER: Final = "AWS::SageMaker::Endpoint"
_BUCKET: Final = "AWS::S3::Bucket"
_FUNCTION_URL: Final = ".lambda-url."


def endpoint_of(
    aws: Aws,
    shipment: Shipment,
    stack: Stack,
    resources: Sequence[StackResource],
    *,
    address: str | None,
    key: str | None,
    waiting: Waiting,
) -> Endpoint | None:
    """What is asked for a completion; None where nothing can be asked.

    Args:
        aws: Where the stack is.
        shipment: What is shipped.
        stack: As it is now.
        resources: That it holds.
        address: In place of the stack's own, such as a tunnel's.
        key: API key.
        waiting: For answers that come later (async endpoints).
    """
    if address is not None:
        return HttpEndpoint(address=address, key=key, region=aws.region)
    balancer = balancer_in(aws, resources)
    if balancer is not None:
        return HttpEndpoint(address=balancer.url, key=key, host=_domain(aws, shipment, balancer))
    name = next((one.id for one in resources if one.type == _SAGEMAKER and one.id), None)
    if name is not None:
        name = name.rpartition("/")[2]
        if shipment.target == "sagemaker":
            component = stack.outputs.get("InferenceComponentName")
            return SageMakerEndpoint(aws=aws, name=name, component=component)
        bucket = next((one.id for one in resources if one.type == _BUCKET and one.id), None)
        if bucket is not None:
            return AsyncEndpoint(aws=aws, name=name, bucket=bucket, waiting=waiting)
    url = next((one for one in stack.outputs.values() if _FUNCTION_URL in one), None)
    return None if url is None else HttpEndpoint(address=url, key=key, region=aws.region)


def _domain(aws: Aws, shipment: Shipment, balancer: Balancer) -> str | None:
    """The name to ask for: the certificate is for a domain, not for the balancer's own name."""
    if not balancer.url.startswith("https://"):
        return None
    domain = check_certificate(aws, shipment)
    return domain.replace("*.", f"{shipment.deployment.name}.") if domain else None
