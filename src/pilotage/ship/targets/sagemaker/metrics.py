"""SageMaker's metrics, under the names of the deployment.

Names instead of references: alarms that take a change back have to be there before the endpoint.
"""

from __future__ import annotations

from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import Metric
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.config import by_components


def model_metric(shipment: Shipment, name: str, statistic: str) -> Metric:
    """A metric of the requests: of the variant, or of the inference component."""
    dimensions = (
        {"InferenceComponentName": shipment.name}
        if by_components(shipment)
        else {"EndpointName": shipment.name, "VariantName": names.VARIANT}
    )
    return Metric(namespace="AWS/SageMaker", name=name, statistic=statistic, dimensions=dimensions)


def endpoint_metric(shipment: Shipment, name: str, statistic: str) -> Metric:
    """A metric of the endpoint as a whole, such as an async one's backlog."""
    return Metric(
        namespace="AWS/SageMaker",
        name=name,
        statistic=statistic,
        dimensions={"EndpointName": shipment.name},
    )


def hardware_metric(shipment: Shipment, name: str, statistic: str) -> Metric:
    """A metric of the instances."""
    components = by_components(shipment)
    return Metric(
        namespace=(
            "/aws/sagemaker/InferenceComponents" if components else "/aws/sagemaker/Endpoints"
        ),
        name=name,
        statistic=statistic,
        dimensions=(
            {"InferenceComponentName": shipment.name}
            if components
            else {"EndpointName": shipment.name, "VariantName": names.VARIANT}
        ),
    )
