"""The call of InfraHouse's ECS module as values: what is rendered, and what rules are held against.

Names and types are those of the module's ``variables.tf`` after version 8.4.0
(github.com/infrahouse/terraform-aws-ecs, Apache-2.0, read 2026-11-22; its docs/configuration.md was
read again on the same day for bounds: counts from 1, sizes of the group from 1 to 1000, a check's
timeout below its interval, and which metrics it scales on).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SCALING_METRICS: Final = (
    "ECSServiceAverageCPUUtilization",
    "ECSServiceAverageMemoryUtilization",
    "ALBRequestCountPerTarget",
)
"""All that ``autoscaling_metric`` may be: no percentile, no queue, no tokens."""

HOST_FOLDER: Final = "/var/models"
SPOT_DRAIN: Final = "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true"
STOP_TIMEOUT: Final = "ECS_CONTAINER_STOP_TIMEOUT"
SWAP_TIMES: Final = 2
"""The module makes a swap file of twice the memory on the root volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCall:
    """The arguments that a limit bears on. Others are names and references.

    Attributes:
        instance_type: EC2's.
        min_instances: Of the scaling group.
        max_instances: Of the scaling group.
        instance_grace_s: Seconds before the group's own health check counts.
        root_volume_gib: Of an instance.
        on_demand_base: Instances that are never spot; None for no spot at all.
        host_commands: Run at an instance's start.
        gpus: A task's.
        cpu: CPU units of the container.
        memory_mib: Of the container.
        ipc_mode: "host" shares the instance's /dev/shm; None gives 64 MiB of its own.
        desired_tasks: At the start.
        min_tasks: Fewest.
        max_tasks: Most.
        service_grace_s: Seconds before a task's health checks count, the container's own too: the
            module gives that one no start period.
        check_command: The container's own health check, in a shell.
        check_interval_s: Between two checks of the load balancer.
        check_timeout_s: Of one.
        minimum_healthy_percent: Of the desired tasks, during a rollout.
        maximum_percent: Likewise.
        gpu_target: Percent of GPU utilisation that scaling holds; None without GPUs.
        scaling_metric: One of `SCALING_METRICS`; None for the module's own.
        scaling_target: Of it.
    """

    instance_type: str
    min_instances: int
    max_instances: int
    instance_grace_s: int
    root_volume_gib: int
    on_demand_base: int | None = None
    host_commands: tuple[str, ...] = ()
    gpus: int
    cpu: int
    memory_mib: int
    ipc_mode: str | None = None
    desired_tasks: int
    min_tasks: int
    max_tasks: int
    service_grace_s: int
    check_command: str
    check_interval_s: int
    check_timeout_s: int
    minimum_healthy_percent: int
    maximum_percent: int
    gpu_target: int | None = None
    scaling_metric: str | None = None
    scaling_target: int | None = None

    def arguments(self) -> dict[str, Any]:
        """By the module's names; what is None is left to the module."""
        found = {
            "asg_instance_type": self.instance_type,
            "asg_min_size": self.min_instances,
            "asg_max_size": self.max_instances,
            "asg_health_check_grace_period": self.instance_grace_s,
            "root_volume_size": self.root_volume_gib,
            "gpu_count": self.gpus,
            "on_demand_base_capacity": self.on_demand_base,
            "cloudinit_extra_commands": list(self.host_commands),
            "task_desired_count": self.desired_tasks,
            "task_min_count": self.min_tasks,
            "task_max_count": self.max_tasks,
            "container_cpu": self.cpu,
            "container_memory": self.memory_mib,
            "task_ipc_mode": self.ipc_mode,
            "service_health_check_grace_period_seconds": self.service_grace_s,
            "healthcheck_interval": self.check_interval_s,
            "healthcheck_timeout": self.check_timeout_s,
            "container_healthcheck_command": self.check_command,
            "deployment_minimum_healthy_percent": self.minimum_healthy_percent,
            "deployment_maximum_percent": self.maximum_percent,
            "gpu_autoscaling_target": self.gpu_target,
            "autoscaling_metric": self.scaling_metric,
            "autoscaling_target": self.scaling_target,
        }
        return {name: value for name, value in found.items() if value is not None}
