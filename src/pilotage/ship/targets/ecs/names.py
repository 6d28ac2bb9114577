"""Logical ids of the stack's resources, by which they refer to one another."""

from __future__ import annotations

from typing import Final

VPC: Final = "Vpc"
ZONE_A: Final = "ZoneA"
ZONE_B: Final = "ZoneB"
ALLOWED_CIDR: Final = "AllowedCidr"
AMI: Final = "MachineImage"
IMAGE_DIGEST: Final = "ImageDigest"
KEYS_SECRET: Final = "KeysSecretArn"  # noqa: S105  a parameter's name
DESIRED_COUNT: Final = "DesiredCount"

BALANCER_GROUP: Final = "LoadBalancerSecurityGroup"
TASK_GROUP: Final = "TaskSecurityGroup"
INSTANCE_GROUP: Final = "InstanceSecurityGroup"

LOAD_BALANCER: Final = "LoadBalancer"
TARGET_GROUP: Final = "TargetGroup"
LISTENER: Final = "Listener"

CLUSTER: Final = "Cluster"
CAPACITY_PROVIDER: Final = "CapacityProvider"
CAPACITY_ASSOCIATION: Final = "CapacityAssociation"
LAUNCH_TEMPLATE: Final = "LaunchTemplate"
SCALING_GROUP: Final = "AutoScalingGroup"

EXECUTION_ROLE: Final = "ExecutionRole"
TASK_ROLE: Final = "TaskRole"
INSTANCE_ROLE: Final = "InstanceRole"
INSTANCE_PROFILE: Final = "InstanceProfile"

LOGS: Final = "Logs"
TASK_DEFINITION: Final = "TaskDefinition"
SERVICE: Final = "Service"
SCALABLE_TARGET: Final = "ScalableTarget"

REPOSITORY: Final = "Repository"
KEYS: Final = "Keys"
