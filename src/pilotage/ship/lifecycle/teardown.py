"""Taking ECS capacity away before its stack, since the stack alone would hang.

A stack that holds a capacity provider waits for ever: the Auto Scaling group's instances are
protected while the provider manages them, the provider stays while the cluster uses it, and the
cluster uses it while the service has tasks. So: service to zero, provider off the cluster,
protection off the instances, group to zero; then the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pilotage.errors import ServeError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.service import EcsService, service_in
from pilotage.ship.lifecycle.stack import StackResource
from pilotage.ship.lifecycle.waiting import Waiting

DESTROYING_TAG: Final = "pilotage:destroying"
"""On the cluster, from the first step on: what is half gone is not applied upon."""

_CLUSTER: Final = "AWS::ECS::Cluster"
_SCALING_GROUP: Final = "AWS::AutoScaling::AutoScalingGroup"
_NO_SERVICE: Final = ("ServiceNotFoundException", "ServiceNotActiveException",
                      "ClusterNotFoundException")  # fmt: skip


def being_destroyed(aws: Aws, resources: Sequence[StackResource]) -> bool:
    """Whether a destroy began and did not end."""
    cluster = _cluster(aws, resources)
    return cluster is not None and DESTROYING_TAG in {
        one["key"] for one in cluster.get("tags") or ()
    }


def empty_capacity(
    aws: Aws, resources: Sequence[StackResource], *, say: Say, waiting: Waiting
) -> None:
    """Do all of it. Each step may have been done before.

    Raises:
        ServeError: Tasks or instances do not go.
        PilotageError: AWS cannot be asked.
    """
    cluster = _cluster(aws, resources)
    if cluster is None:
        return
    arn = str(cluster["clusterArn"])
    aws.call("ecs", "tag_resource", resourceArn=arn, tags=[{"key": DESTROYING_TAG, "value": "yes"}])
    service = service_in(aws, resources)
    if service is not None:
        _scale_to_zero(aws, service, say=say, waiting=waiting)
    if cluster.get("capacityProviders"):
        _detach(aws, arn, service, say=say)
    for one in resources:
        if one.type == _SCALING_GROUP and one.id:
            _empty_group(aws, one.id, say=say, waiting=waiting)


def _scale_to_zero(aws: Aws, service: EcsService, *, say: Say, waiting: Waiting) -> None:
    # Scaling would bring the tasks back.
    targets = aws.call(
        "application-autoscaling",
        "describe_scalable_targets",
        ServiceNamespace="ecs",
        ResourceIds=[service.resource_id],
    )
    for one in targets.get("ScalableTargets") or ():
        if one.get("MinCapacity") or one.get("MaxCapacity"):
            aws.call(
                "application-autoscaling",
                "register_scalable_target",
                ServiceNamespace="ecs",
                ResourceId=service.resource_id,
                ScalableDimension=one["ScalableDimension"],
                MinCapacity=0,
                MaxCapacity=0,
            )
    told = service.describe()
    if told is None:
        return
    if told.get("desiredCount"):
        say(Note(step="scale", text="to zero tasks; those that answer may finish",
                 what=service.name))  # fmt: skip
        aws.try_call(
            "ecs",
            "update_service",
            *_NO_SERVICE,
            cluster=service.cluster,
            service=service.name,
            desiredCount=0,
        )
    last: int | None = None
    for _ in waiting.rounds(f"the end of the tasks of {service.name}"):
        told = service.describe()
        left = int((told or {}).get("runningCount", 0)) + int((told or {}).get("pendingCount", 0))
        if left != last:
            say(Note(step="scale", text=f"{left} tasks are left", what=service.name))
            last = left
        if left == 0:
            return


def _detach(aws: Aws, cluster: str, service: EcsService | None, *, say: Say) -> None:
    say(Note(step="scale", text="the capacity provider is taken off the cluster", what=cluster))
    for attempt in range(2):
        done = aws.try_call(
            "ecs",
            "put_cluster_capacity_providers",
            "ResourceInUseException",
            cluster=cluster,
            capacityProviders=[],
            defaultCapacityProviderStrategy=[],
        )
        if done is not None:
            return
        if attempt == 0 and service is not None:
            # ECS counts a service without tasks as a user, too. The stack then finds it deleted.
            aws.try_call(
                "ecs",
                "delete_service",
                *_NO_SERVICE,
                cluster=service.cluster,
                service=service.name,
                force=True,
            )
    raise ServeError(
        "the capacity provider is in use by tasks that are not this deployment's",
        where=cluster,
        hint="Stop what else runs in the cluster, and destroy again",
    )


def _empty_group(aws: Aws, name: str, *, say: Say, waiting: Waiting) -> None:
    last: int | None = None
    for number in waiting.rounds(f"the end of the instances of {name}"):
        answer = aws.call(
            "autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name]
        )
        groups: list[dict[str, Any]] = answer.get("AutoScalingGroups") or []
        if not groups:
            return
        instances = groups[0].get("Instances") or []
        held = [one["InstanceId"] for one in instances if one.get("ProtectedFromScaleIn")]
        for start in range(0, len(held), 50):  # as many as the call takes
            aws.call(
                "autoscaling",
                "set_instance_protection",
                AutoScalingGroupName=name,
                InstanceIds=held[start : start + 50],
                ProtectedFromScaleIn=False,
            )
        if number == 0:
            aws.call(
                "autoscaling",
                "update_auto_scaling_group",
                AutoScalingGroupName=name,
                MinSize=0,
                DesiredCapacity=0,
                NewInstancesProtectedFromScaleIn=False,
            )
        if len(instances) != last:
            say(Note(step="scale", text=f"{len(instances)} instances are left", what=name))
            last = len(instances)
        if not instances:
            return


def _cluster(aws: Aws, resources: Sequence[StackResource]) -> dict[str, Any] | None:
    name = next((one.id for one in resources if one.type == _CLUSTER and one.id), None)
    if name is None:
        return None
    answer = aws.call("ecs", "describe_clusters", clusters=[name], include=["TAGS"])
    found: list[dict[str, Any]] = answer.get("clusters") or []
    return found[0] if found and found[0].get("status") == "ACTIVE" else None
