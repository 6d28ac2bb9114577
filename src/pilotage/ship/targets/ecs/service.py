"""The service: how many tasks, where, with how much patience, and how a change goes out."""

from __future__ import annotations

from pilotage.ship.graph import Parameter, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    CAPACITY_ASSOCIATION,
    CAPACITY_PROVIDER,
    CLUSTER,
    DESIRED_COUNT,
    LISTENER,
    SERVICE,
    TARGET_GROUP,
    TASK_DEFINITION,
    TASK_GROUP,
)
from pilotage.ship.targets.ecs.network import Network
from pilotage.ship.targets.ecs.task import CONTAINER

SPARE = (100, 200)
"""Least and most tasks during a change, percent of the desired: new ones beside the old."""
DOWNTIME = (0, 100)
"""The old ones go first: no spare GPUs are needed, and nobody answers in between."""


def desired_count(layout: Layout) -> Parameter:
    """How many tasks; a parameter, so that a change of the stack keeps what scaling has chosen."""
    return Parameter(
        name=DESIRED_COUNT,
        type="Number",
        default=str(layout.sizing.desired),
        description="Tasks. Where the service runs, apply gives the present number: scaling "
        "chose it.",
    )


def service(layout: Layout, network: Network) -> Resource:
    """The service."""
    least, most = SPARE if layout.shipping.rollout == "spare" else DOWNTIME
    placement = [
        {
            "Type": "memberOf",
            "Expression": "attribute:ecs.instance-type in ["
            + ", ".join(layout.instance_types)
            + "]",
        }
    ]
    if layout.sizing.neuron_devices:
        placement.append({"Type": "distinctInstance"})
    return Resource(
        name=SERVICE,
        type="AWS::ECS::Service",
        properties={
            "Cluster": Ref(CLUSTER),
            "TaskDefinition": Ref(TASK_DEFINITION),
            "DesiredCount": Ref(DESIRED_COUNT),
            "CapacityProviderStrategy": [{"CapacityProvider": Ref(CAPACITY_PROVIDER), "Weight": 1}],
            "DeploymentConfiguration": {
                "MinimumHealthyPercent": least,
                "MaximumPercent": most,
                "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
            },
            # For the load balancer's checks and the container's own. Without it a model that is
            # still loading is killed, and loads again, for ever.
            "HealthCheckGracePeriodSeconds": layout.sizing.grace_s,
            # To move a task is to load a model once more, for a balance nobody asked for.
            "AvailabilityZoneRebalancing": "DISABLED",
            "PlacementConstraints": placement,
            "PlacementStrategies": [
                {"Type": "spread", "Field": "attribute:ecs.availability-zone"},
                {"Type": "binpack", "Field": "memory"},
            ],
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "Subnets": list(network.subnets),
                    "SecurityGroups": [Ref(TASK_GROUP)],
                    "AssignPublicIp": "DISABLED",
                }
            },
            "LoadBalancers": [
                {
                    "TargetGroupArn": Ref(TARGET_GROUP),
                    "ContainerName": CONTAINER,
                    "ContainerPort": layout.sizing.port,
                }
            ],
            "EnableECSManagedTags": True,
            "EnableExecuteCommand": False,
            "PropagateTags": "SERVICE",
        },
        # ECS refuses a target group that no listener uses, and a provider the cluster lacks.
        # Machines without a way out would never join.
        depends_on=(LISTENER, CAPACITY_ASSOCIATION, *network.ways_out),
    )
