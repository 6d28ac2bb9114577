"""``AWS::SageMaker::Endpoint`` and its component: how a change comes in, and goes back."""

from __future__ import annotations

from typing import Any, Final

from pilotage.ship.graph import Attribute, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import checked_name, tag_list
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.config import by_components
from pilotage.ship.targets.sagemaker.startup import Startup

_BAKE_S: Final = 300
"""Seconds that a new fleet is watched before the old one goes: the alarms need five minutes."""

_SHORTEST_UPDATE_S: Final = 600
_LONGEST_UPDATE_S: Final = 28_800


def endpoint(shipment: Shipment, startup: Startup, rollback: tuple[str, ...]) -> Resource:
    """The endpoint, under the deployment's name.

    ``spare`` makes the new fleet beside the old one and moves the traffic at once. ``downtime``
    asks for little spare capacity: half of the fleet at a time. There is no way with none: with
    one instance, the second is needed either way.

    Args:
        shipment: What is shipped.
        startup: How long a container may take.
        rollback: Logical ids of the alarms that take a change back.
    """
    properties: dict[str, Any] = {
        "EndpointName": checked_name(shipment, names.LONGEST_NAME, "the endpoint"),
        "EndpointConfigName": Attribute(names.CONFIG, "EndpointConfigName"),
    }
    if not by_components(shipment):
        properties["DeploymentConfig"] = {
            **_policy(shipment, startup),
            **_rollback(shipment, rollback),
        }
    properties["Tags"] = tag_list(shipment)
    return Resource(
        name=names.ENDPOINT,
        type="AWS::SageMaker::Endpoint",
        properties=properties,
        depends_on=(names.LOGS, *(() if by_components(shipment) else rollback)),
    )


def component(shipment: Shipment, startup: Startup, rollback: tuple[str, ...]) -> Resource:
    """The model as an inference component, of which there may be no copy."""
    sizing = shipment.sizing
    # Where it fits is a question of accelerators; memory is reserved so that it never is one.
    needs: dict[str, Any] = {"MinMemoryRequiredInMb": max(128, sizing.task_memory_mib // 2)}
    if devices := sizing.gpus or sizing.neuron_devices:
        needs["NumberOfAcceleratorDevicesRequired"] = devices
    else:
        needs["NumberOfCpuCoresRequired"] = max(1, sizing.task_cpu // 2048)
    starting = {"ContainerStartupHealthCheckTimeoutInSeconds": startup.container_s}
    if startup.download_s is not None:
        starting["ModelDataDownloadTimeoutInSeconds"] = startup.download_s
    return Resource(
        name=names.COMPONENT,
        type="AWS::SageMaker::InferenceComponent",
        properties={
            "InferenceComponentName": shipment.name,
            "EndpointName": Attribute(names.ENDPOINT, "EndpointName"),
            "VariantName": names.VARIANT,
            "Specification": {
                "ModelName": Attribute(names.MODEL, "ModelName"),
                "ComputeResourceRequirements": needs,
                "StartupParameters": starting,
            },
            "RuntimeConfig": {"CopyCount": max(1, sizing.desired)},
            "DeploymentConfig": {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                    "WaitIntervalInSeconds": _BAKE_S,
                    "MaximumExecutionTimeoutInSeconds": _longest(startup, 2),
                },
                **_rollback(shipment, rollback),
            },
            "Tags": tag_list(shipment),
        },
        depends_on=rollback,
    )


def _policy(shipment: Shipment, startup: Startup) -> dict[str, Any]:
    if shipment.shipping.rollout == "downtime" and shipment.sizing.desired >= 2:
        return {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                "WaitIntervalInSeconds": _BAKE_S,
                "MaximumExecutionTimeoutInSeconds": _longest(startup, 2),
            }
        }
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "ALL_AT_ONCE",
                "WaitIntervalInSeconds": _BAKE_S,
            },
            "TerminationWaitInSeconds": min(3600, shipment.sizing.drain_s),
            "MaximumExecutionTimeoutInSeconds": _longest(startup, 1),
        }
    }


def _longest(startup: Startup, batches: int) -> int:
    """Seconds for a whole update: each batch's start-up and watch, and as much to go back."""
    each = startup.container_s + (startup.download_s or 0) + _BAKE_S + _SHORTEST_UPDATE_S
    return min(_LONGEST_UPDATE_S, max(_SHORTEST_UPDATE_S, 2 * batches * each))


def _rollback(shipment: Shipment, alarms: tuple[str, ...]) -> dict[str, Any]:
    if not alarms:
        return {}
    named = [{"AlarmName": f"{shipment.name}-{alarm}"} for alarm in alarms]
    return {"AutoRollbackConfiguration": {"Alarms": named}}
