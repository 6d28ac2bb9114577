"""The arguments of InfraHouse's ECS module, computed from the sizing."""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.catalog.instances import load_instances
from pilotage.ship.ecs_module import (
    HOST_FOLDER,
    SPOT_DRAIN,
    STOP_TIMEOUT,
    SWAP_TIMES,
    ModuleCall,
)
from pilotage.ship.inside.places import HEALTH_CHECK, MODELS, USER_ID
from pilotage.ship.target import Shipment
from pilotage.ship.targets.hcl import Raw

GPU_TARGET: Final = 60
"""Percent of GPU utilisation that scaling holds, the module's own default."""

_DEFAULT_STOP_S: Final = 30
_RETENTION_DAYS: Final = 90
_LONGEST_IDLE_S: Final = 4000
"""Of an application load balancer."""


def module_call(shipment: Shipment) -> ModuleCall:
    """The arguments that limits bear on, computed."""
    sizing, scaling = shipment.sizing, shipment.shipping.scaling
    spare = shipment.shipping.rollout == "spare"
    per_instance = max(1, sizing.tasks_per_instance)
    by_requests = scaling.metric == "requests"
    gpu_given = scaling.target if scaling.metric == "gpu" else None
    return ModuleCall(
        instance_type=sizing.instance_type or "",
        min_instances=math.ceil(sizing.min_replicas / per_instance),
        # A start-first rollout needs room for one task more than there may be.
        max_instances=math.ceil((sizing.max_replicas + int(spare)) / per_instance),
        instance_grace_s=sizing.grace_s,
        root_volume_gib=_root_gib(shipment),
        on_demand_base=scaling.on_demand_base if scaling.spot_share > 0 else None,
        host_commands=_host_commands(shipment),
        gpus=sizing.gpus,
        cpu=sizing.task_cpu,
        memory_mib=sizing.task_memory_mib,
        ipc_mode="host" if sizing.shm_mib else None,
        desired_tasks=sizing.desired,
        min_tasks=sizing.min_replicas,
        max_tasks=sizing.max_replicas,
        service_grace_s=sizing.grace_s,
        # Words without spaces, which its shell leaves alone.
        check_command=" ".join(HEALTH_CHECK),
        check_interval_s=15,
        check_timeout_s=5,
        minimum_healthy_percent=100 if spare else 0,
        maximum_percent=200 if spare else 100,
        gpu_target=(GPU_TARGET if gpu_given is None else round(gpu_given)) if sizing.gpus else None,
        scaling_metric="ALBRequestCountPerTarget" if by_requests else None,
        scaling_target=round(scaling.target or _requests(shipment)) if by_requests else None,
    )


def module_arguments(shipment: Shipment) -> dict[str, Any]:
    """The arguments of the module's call: Python values, and `Raw` expressions."""
    sizing, shipping = shipment.sizing, shipment.shipping
    found: dict[str, Any] = {
        "service_name": shipment.name,
        "environment": Raw("var.environment"),
        "docker_image": Raw("var.docker_image"),
        "tags": dict(shipment.tags),
        # Network.
        "asg_subnets": Raw("var.asg_subnets"),
        "load_balancer_subnets": Raw("var.load_balancer_subnets"),
        "alb_ingress_cidr_blocks": _cidrs(shipment),
        "zone_id": Raw("var.zone_id"),
        "dns_names": Raw("var.dns_names"),
        "replication_region": Raw("var.replication_region"),
        "idle_timeout": _idle_s(shipment),
        "load_balancing_algorithm_type": "least_outstanding_requests",
        "healthcheck_path": sizing.health_path,
        # Instances, tasks, health, rollout and scaling.
        **module_call(shipment).arguments(),
        "container_port": sizing.port,
        "container_command": list(sizing.arguments),
        "task_environment_variables": Raw("local.environment"),
        "task_secrets": Raw("local.secrets"),
        "task_local_volumes": {
            "models": {"host_path": HOST_FOLDER, "container_path": MODELS},
        },
        "task_role_arn": Raw("var.task_role_arn"),
        "execution_extra_policy": Raw("var.execution_extra_policy"),
        "dockerSecurityOptions": ["no-new-privileges"],
        "enable_deployment_circuit_breaker": True,
        # Watching.
        "alarm_emails": Raw("var.alarm_emails"),
        "enable_cloudwatch_logs": True,
        "cloudwatch_log_group_retention": _RETENTION_DAYS,
        "enable_container_insights": True,
    }
    if shipping.alarms.topic_arn is not None:
        found["sns_topic_arn"] = shipping.alarms.topic_arn
    return found


def _cidrs(shipment: Shipment) -> object:
    """Closed unless said otherwise: the module's own default lets everybody in."""
    given = list(shipment.shipping.network.allowed_cidrs)
    return given or Raw("[data.aws_vpc.this.cidr_block]")


def _idle_s(shipment: Shipment) -> int:
    """Longer than a request may take, so that it is the server that gives up, and says why."""
    return min(_LONGEST_IDLE_S, math.ceil(shipment.deployment.serving.request_timeout) + 30)


def _root_gib(shipment: Shipment) -> int:
    """System, image, swap and, as the module has no volume for them, the weights."""
    instance = load_instances().get(shipment.sizing.instance_type or "")
    memory = instance.memory_bytes if instance else shipment.sizing.task_memory_mib << 20
    memory_gib = math.ceil(memory / (1 << 30))
    return shipment.sizing.root_gib + shipment.sizing.weights_gib + SWAP_TIMES * memory_gib


def _host_commands(shipment: Shipment) -> tuple[str, ...]:
    """What the module leaves out of an instance's start."""
    stop = max(_DEFAULT_STOP_S, shipment.sizing.stop_s, shipment.sizing.drain_s)
    commands = [
        # Docker would make it root's, and the server is not root.
        f"install -d -o {USER_ID} -g {USER_ID} -m 0750 {HOST_FOLDER}",
        f"echo {STOP_TIMEOUT}={stop}s >> /etc/ecs/ecs.config",
    ]
    if shipment.shipping.scaling.spot_share > 0:
        commands.append(f"echo {SPOT_DRAIN} >> /etc/ecs/ecs.config")
    return tuple(commands)


def _requests(shipment: Shipment) -> float:
    plan = shipment.plan
    carried = (plan.predictions.requests_per_s or plan.predictions.rate) if plan else 1.0
    return max(1.0, 60 * 0.8 * carried / max(1, shipment.sizing.desired))
