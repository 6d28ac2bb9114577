"""Rules of the call of InfraHouse's ECS module, held against its values and not against its text.

They are the limits of ECS that `tasks`, `services` and `capacity` hold against resources: a module
that is called has none here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from pilotage.catalog.instances import load_instances
from pilotage.ship.ecs_module import (
    SCALING_METRICS,
    SPOT_DRAIN,
    STOP_TIMEOUT,
    SWAP_TIMES,
    ModuleCall,
)
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_MODULE: Final = "infrahouse/ecs/aws 8.4.0: variables.tf and docs/configuration.md"
_LONGEST_GRACE_S: Final = 2_147_483_647
_DEFAULT_STOP_S: Final = 30
_LEAST_MEMORY_MIB: Final = 512
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_KERNEL_SHARE: Final = 0.03
_STOP: Final = re.compile(rf"{STOP_TIMEOUT}=(\d+)s")
_OTHER_CHECKS: Final = re.compile(r"\b(curl|wget|nc|localhost)\b|\[::1\]")
_ROLLOUTS: Final = ((100, 200), (0, 100))


def _call(rendered: Rendered) -> Iterator[ModuleCall]:
    found = rendered.extra.get("module")
    if isinstance(found, ModuleCall):
        yield found


@rule(
    "module-grace",
    what="ECS kills a task that is still loading, and again: the module gives the container's own "
    "check no start period.",
    limit="service_health_check_grace_period_seconds and asg_health_check_grace_period are at "
    f"least the predicted seconds of fetch and load, at most {_LONGEST_GRACE_S:,}",
)
def _module_grace(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    sizing, given = shipment.sizing, shipment.shipping.grace
    needed = round(sizing.fetch_s + sizing.load_s if given is None else given)
    for call in _call(rendered):
        for name, value in (
            ("service_health_check_grace_period_seconds", call.service_grace_s),
            ("asg_health_check_grace_period", call.instance_grace_s),
        ):
            if not needed <= value <= _LONGEST_GRACE_S:
                yield Finding(
                    f"module.service.{name}", f"{value} s, needed {needed} s",
                    f"Set it to {max(sizing.grace_s, needed)}",
                )  # fmt: skip


@rule(
    "module-gpus",
    what="A task that asks for more GPUs than an instance has is never placed.",
    limit="gpu_count is what the plan says, and all tasks of an instance have room on it",
)
def _module_gpus(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        instance = load_instances().get(call.instance_type)
        has = instance.accelerator.count if instance and instance.accelerator else 0
        asked = call.gpus * max(1, shipment.sizing.tasks_per_instance)
        if call.gpus != shipment.sizing.gpus or asked > has:
            yield Finding(
                "module.service.gpu_count",
                f"{call.gpus} a task, {asked} an instance; {call.instance_type} has {has}, the "
                f"plan says {shipment.sizing.gpus}",
                f"Set it to {shipment.sizing.gpus}, on an instance that has as many",
            )


@rule(
    "module-room",
    what="The module's own 128 MB are gone in the middle of the fetch; and a container that asks "
    "for more than an instance registers is never placed.",
    limit=f"container_memory is at least {_LEAST_MEMORY_MIB} MiB, and CPU and memory of an "
    "instance's tasks are within what it registers (its memory less 3 %)",
)
def _module_room(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    each = max(1, shipment.sizing.tasks_per_instance)
    for call in _call(rendered):
        instance = load_instances().get(call.instance_type)
        if instance is None:
            continue
        memory = instance.memory_bytes / _MIB * (1 - _KERNEL_SHARE) / each
        cpu = instance.vcpus * 1024 / each
        if not _LEAST_MEMORY_MIB <= call.memory_mib <= memory:
            yield Finding(
                "module.service.container_memory", f"{call.memory_mib} MiB",
                f"At most {memory:,.0f}; the sizing says {shipment.sizing.task_memory_mib}",
            )  # fmt: skip
        if not 0 < call.cpu <= cpu:
            yield Finding(
                "module.service.container_cpu", f"{call.cpu} CPU units",
                f"At most {cpu:,.0f}; the sizing says {shipment.sizing.task_cpu}",
            )  # fmt: skip


@rule(
    "module-root",
    what="Weights, image and the module's swap file share the root volume: the disk is full in the "
    "middle of the fetch.",
    limit="root_volume_size holds system and image, the weights, and swap of twice the memory",
)
def _module_root(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    sizing = shipment.sizing
    for call in _call(rendered):
        instance = load_instances().get(call.instance_type)
        memory = instance.memory_bytes if instance else call.memory_mib * _MIB
        swap = SWAP_TIMES * math.ceil(memory / _GIB)
        needed = sizing.root_gib + sizing.weights_gib + swap
        if call.root_volume_gib < needed:
            yield Finding(
                "module.service.root_volume_size", f"{call.root_volume_gib} GiB",
                f"Set it to {needed}, of which {swap} are swap",
            )  # fmt: skip


@rule(
    "module-shm",
    what="Ranks of a split model talk through /dev/shm; with Docker's 64 MiB they hang.",
    limit='task_ipc_mode is "host" where the plan needs shared memory: the module sets no size',
)
def _module_shm(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        if shipment.sizing.shm_mib and call.ipc_mode != "host":
            yield Finding("module.service.task_ipc_mode", str(call.ipc_mode), 'Set it to "host"')


@rule(
    "module-check",
    what="The image has no curl, localhost may be ::1, and a check that takes longer than its "
    "interval is refused.",
    limit="container_healthcheck_command is ours; healthcheck_interval 5 to 300 s, above "
    "healthcheck_timeout, which is 2 to 120 s",
    source=f"{_MODULE}; Elastic Load Balancing API, CreateTargetGroup",
)
def _module_check(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        if _OTHER_CHECKS.search(call.check_command):
            yield Finding(
                "module.service.container_healthcheck_command", call.check_command[:120],
                "Run python3 -m pilotage.ship.inside.check_health",
            )  # fmt: skip
        interval, timeout = call.check_interval_s, call.check_timeout_s
        if not (5 <= interval <= 300 and 2 <= timeout <= 120 and timeout < interval):
            yield Finding(
                "module.service.healthcheck_interval", f"{interval} s, timeout {timeout} s",
                "Set them to 15 and 5",
            )  # fmt: skip


@rule(
    "module-stop",
    what="SIGKILL comes while requests that were promised an end are still running: the module "
    "leaves the agent's 30 s.",
    limit=f"cloudinit_extra_commands set {STOP_TIMEOUT} to the drain deadline at least",
)
def _module_stop(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        said = [int(one) for one in _STOP.findall("\n".join(call.host_commands))]
        stop = said[-1] if said else _DEFAULT_STOP_S
        if stop < shipment.sizing.drain_s:
            yield Finding(
                "module.service.cloudinit_extra_commands",
                f"{stop} s, the drain takes {shipment.sizing.drain_s} s",
                f"Write {STOP_TIMEOUT}={shipment.sizing.drain_s}s into /etc/ecs/ecs.config",
            )


@rule(
    "module-spot-drain",
    what="A spot instance goes with its requests: the module does not have it drained.",
    limit=f"with on_demand_base_capacity, cloudinit_extra_commands set {SPOT_DRAIN}",
)
def _module_spot(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        if call.on_demand_base is not None and SPOT_DRAIN not in "\n".join(call.host_commands):
            yield Finding(
                "module.service.cloudinit_extra_commands", "spot instances are not drained",
                f"Write {SPOT_DRAIN} into /etc/ecs/ecs.config",
            )  # fmt: skip


@rule(
    "module-scaling",
    what="The module has no percentile of the latency, no queue and no tokens: Terraform refuses "
    "the plan.",
    limit=f"autoscaling_metric is one of {', '.join(SCALING_METRICS)}, with a target where it is "
    "requests; gpu_autoscaling_target is 1 to 100",
    source=_MODULE,
)
def _module_scaling(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for call in _call(rendered):
        metric, target = call.scaling_metric, call.scaling_target
        aimless = metric == "ALBRequestCountPerTarget" and (target is None or target < 1)
        if aimless or (metric is not None and metric not in SCALING_METRICS):
            yield Finding(
                "module.service.autoscaling_metric", f"{metric} at {target}",
                "Take requests or gpu (shipping.scaling.metric), or the target ecs",
            )  # fmt: skip
        if call.gpu_target is not None and not 1 <= call.gpu_target <= 100:
            yield Finding(
                "module.service.gpu_autoscaling_target", str(call.gpu_target),
                "Set it to 60 (percent)",
            )  # fmt: skip


@rule(
    "module-counts",
    what="Terraform refuses the plan, or tasks wait for an instance that may not come.",
    limit="1 <= task_min_count <= task_desired_count <= task_max_count; a rollout is 100/200 with "
    "an instance to spare or 0/100; asg_min_size and asg_max_size (1 to 1000) hold the tasks",
    source=f"{_MODULE}; shared/facts/aws.md: a rollout of 100/200 needs double capacity",
)
def _module_counts(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    each = max(1, shipment.sizing.tasks_per_instance)
    for call in _call(rendered):
        if not 1 <= call.min_tasks <= call.desired_tasks <= call.max_tasks:
            yield Finding(
                "module.service.task_desired_count",
                f"{call.min_tasks} to {call.max_tasks}, {call.desired_tasks} at the start",
                "Write shipping.scaling.min and max so that they hold the plan's replicas",
            )
        rollout = (call.minimum_healthy_percent, call.maximum_percent)
        if rollout not in _ROLLOUTS:
            yield Finding(
                "module.service.deployment_maximum_percent",
                f"{rollout[0]} and {rollout[1]} percent", "Take 100 and 200, or 0 and 100",
            )  # fmt: skip
        needed = math.ceil((call.max_tasks + int(rollout[1] > 100)) / each)
        if not (1 <= call.min_instances <= call.max_instances <= 1000) or (
            call.max_instances < needed
        ):
            yield Finding(
                "module.service.asg_max_size",
                f"{call.min_instances} to {call.max_instances} instances",
                f"Set it to {needed}",
            )


TERRAFORM_RULES: Final = (
    _module_grace,
    _module_gpus,
    _module_room,
    _module_root,
    _module_shm,
    _module_check,
    _module_stop,
    _module_spot,
    _module_scaling,
    _module_counts,
)
