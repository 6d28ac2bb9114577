"""The cluster and the capacity that follows its tasks."""

from __future__ import annotations

from pilotage.ship.graph import Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    CAPACITY_ASSOCIATION,
    CAPACITY_PROVIDER,
    CLUSTER,
    LOGS,
    SCALING_GROUP,
)

LOG_RETENTION_DAYS = 30
# From a machine's start to its joining the cluster: the AMI's own start and the script.
_WARM_UP_S = 300


def cluster(layout: Layout) -> tuple[Resource, ...]:
    """Cluster, under the stack's name, and log group, which machines and roles refer to."""
    return (
        Resource(
            name=LOGS,
            type="AWS::Logs::LogGroup",
            properties={"RetentionInDays": LOG_RETENTION_DAYS},
            retain=True,
            metadata={
                "checkov": {
                    "skip": [
                        {
                            "id": "CKV_AWS_158",
                            "comment": "CloudWatch Logs encrypts every group with keys of its own. "
                            "The lines hold no prompts and no completions, and a key of the "
                            "stack's would be gone with it while the logs are kept.",
                        }
                    ]
                }
            },
        ),
        Resource(
            name=CLUSTER,
            type="AWS::ECS::Cluster",
            properties={
                "ClusterName": layout.name,
                "ClusterSettings": [{"Name": "containerInsights", "Value": "enabled"}],
            },
        ),
    )


def capacity(layout: Layout) -> tuple[Resource, ...]:
    """Capacity provider, and its place in the cluster."""
    return (
        Resource(
            name=CAPACITY_PROVIDER,
            type="AWS::ECS::CapacityProvider",
            properties={
                "AutoScalingGroupProvider": {
                    "AutoScalingGroupArn": Ref(SCALING_GROUP),
                    "ManagedScaling": {
                        "Status": "ENABLED",
                        # Below 100 machines would stand by empty, which GPUs are too dear for.
                        "TargetCapacity": 100,
                        "MinimumScalingStepSize": 1,
                        "MaximumScalingStepSize": min(10_000, layout.most_instances),
                        "InstanceWarmupPeriod": _WARM_UP_S,
                    },
                    # A machine that runs a task is never taken away, and drains before it goes.
                    "ManagedTerminationProtection": "ENABLED",
                    "ManagedDraining": "ENABLED",
                }
            },
        ),
        Resource(
            name=CAPACITY_ASSOCIATION,
            type="AWS::ECS::ClusterCapacityProviderAssociations",
            properties={
                "Cluster": Ref(CLUSTER),
                "CapacityProviders": [Ref(CAPACITY_PROVIDER)],
                "DefaultCapacityProviderStrategy": [
                    {"CapacityProvider": Ref(CAPACITY_PROVIDER), "Weight": 1}
                ],
            },
        ),
    )
