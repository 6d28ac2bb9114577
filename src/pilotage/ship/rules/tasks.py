"""Rules of ECS task definitions: accelerators, memory, roles, images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilotage.catalog.instances import load_instances
from pilotage.ship.rules.reading import (
    SERVICE,
    TASK,
    at,
    containers,
    gpus,
    items,
    number,
    of_type,
    pinned,
    target_name,
    templates,
    text,
    truth,
)
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_LEAST_MEMORY_MIB: Final = 512
_KERNEL_SHARE: Final = 0.03
_MIB: Final = 1 << 20


@rule(
    "fargate-gpu",
    what="Fargate has no GPUs: the task is refused when it is registered, or never placed.",
    limit="no GPU or Neuron device on Fargate",
)
def _fargate_gpu(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    on_fargate = any(
        one.properties.get("LaunchType") == "FARGATE"
        or any(
            str(at(part, "CapacityProvider")).startswith("FARGATE")
            for part in items(one.properties, "CapacityProviderStrategy")
        )
        for one in of_type(rendered, SERVICE)
    )
    for where, task, one in containers(rendered):
        wanted = "FARGATE" in items(task.properties, "RequiresCompatibilities")
        asked = gpus(one) or len(items(one, "LinuxParameters", "Devices"))
        if (on_fargate or wanted) and asked:
            yield Finding(
                f"{where}.ResourceRequirements",
                f"{asked} accelerator(s) on Fargate",
                'Set RequiresCompatibilities to ["EC2"] and use a capacity provider of GPU '
                "instances",
            )


@rule(
    "gpu-text",
    what="The API takes the number of GPUs as a text and refuses a number.",
    limit='the value of a GPU requirement is a string such as "1"',
)
def _gpu_text(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        for part in items(one, "ResourceRequirements"):
            value = at(part, "Value")
            if at(part, "Type") == "GPU" and not (isinstance(value, str) and value.isdigit()):
                yield Finding(
                    f"{where}.ResourceRequirements[].Value",
                    f"{value!r}",
                    f'Write "{int(number(value) or 1)}"',
                )


@rule(
    "gpu-total",
    what="A task whose containers together ask for more GPUs than one instance has is never "
    "placed.",
    limit="GPUs of all containers of a task are at most those of one instance",
)
def _gpu_total(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for task in of_type(rendered, TASK):
        asked = sum(gpus(one) for _, owner, one in containers(rendered) if owner is task)
        for name in _instance_types(rendered, shipment):
            instance = load_instances().get(name)
            if instance is None or not asked:
                continue
            chips = instance.accelerator if instance.neuron_chip is None else None
            has = chips.count if chips else 0
            if asked > has:
                yield Finding(
                    f"{task.name}.ContainerDefinitions[].ResourceRequirements",
                    f"{asked} GPUs, {name} has {has}",
                    "Take a larger instance type, or fewer GPUs a task (model.tensor_parallel)",
                )


@rule(
    "neuron-devices",
    what="Without its devices the container finds no NeuronCore and the model does not load.",
    limit="every planned Neuron device is in LinuxParameters.Devices as /dev/neuronN",
)
def _neuron_devices(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    planned = shipment.sizing.neuron_devices
    for task in of_type(rendered, TASK):
        held = {
            text(at(part, "HostPath"))
            for _, owner, one in containers(rendered)
            if owner is task
            for part in items(one, "LinuxParameters", "Devices")
        }
        missing = sorted({f"/dev/neuron{index}" for index in range(planned)} - held)
        if missing:
            yield Finding(
                f"{task.name}.ContainerDefinitions[].LinuxParameters.Devices",
                f"lacks {', '.join(missing)}",
                "Add a device of each HostPath, with read and write permission",
            )


@rule(
    "task-fits",
    what="A task that asks for more than an instance registers waits for ever in PROVISIONING.",
    limit="CPU and memory of a task are within what an instance registers (its memory less 3 %)",
)
def _task_fits(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    for task in of_type(rendered, TASK):
        own = [one for _, owner, one in containers(rendered) if owner is task]
        asked = {
            field: max(
                number(task.properties.get(field)) or 0,
                sum(number(one.get(field) or one.get(f"{field}Reservation")) or 0 for one in own),
            )
            for field in ("Memory", "Cpu")
        }
        for name in _instance_types(rendered, shipment):
            instance = load_instances().get(name)
            if instance is None:
                continue
            has = {
                "Memory": instance.memory_bytes / _MIB * (1 - _KERNEL_SHARE),
                "Cpu": instance.vcpus * 1024,
            }
            for field, unit in (("Memory", "MiB"), ("Cpu", "CPU units")):
                if asked[field] > has[field]:
                    yield Finding(
                        f"{task.name}.{field}",
                        f"{asked[field]:,.0f} {unit}, {name} has {has[field]:,.0f}",
                        f"At most {has[field]:,.0f}; the sizing takes an eighth less",
                    )


@rule(
    "container-memory",
    what="The 128 MB that web modules give a container are gone in the middle of the fetch: the "
    "kernel kills it, and again.",
    limit=f"a container that serves has at least {_LEAST_MEMORY_MIB} MiB",
)
def _container_memory(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, task, one in containers(rendered):
        if not items(one, "PortMappings"):
            continue
        given = number(one.get("Memory") or one.get("MemoryReservation"))
        if given is None:
            given = number(task.properties.get("Memory"))
        if given is None or given < _LEAST_MEMORY_MIB:
            yield Finding(
                f"{where}.Memory",
                "none" if given is None else f"{given:,.0f} MiB",
                "Give it what the sizing says",
            )


@rule(
    "task-shm",
    what="Ranks of a split model talk through /dev/shm; with the 64 MiB of a default they hang.",
    limit="LinuxParameters.SharedMemorySize is at least what the sizing says",
    source="Docker's default of 64 MiB; vLLM's and NCCL's documentation",
)
def _task_shm(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    needed = shipment.sizing.shm_mib
    for where, _, one in containers(rendered):
        if not needed or not items(one, "PortMappings"):
            continue
        given = number(at(one, "LinuxParameters", "SharedMemorySize")) or 64
        if given < needed:
            yield Finding(
                f"{where}.LinuxParameters.SharedMemorySize",
                f"{given:,.0f} MiB for {shipment.sizing.gpus} ranks",
                f"Set it to {needed}",
            )


@rule(
    "privileged",
    what="A privileged container is root on its instance, beside other tasks.",
    limit="no container is privileged",
    source="CIS and checkov CKV_AWS_336 in kind; GPUs and Neuron devices do not need it",
)
def _privileged(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        if truth(one.get("Privileged")):
            yield Finding(f"{where}.Privileged", "true", "Leave it out; name devices one by one")


@rule(
    "roles-apart",
    what="With one role for both, the model's code can read every secret the agent can.",
    limit="TaskRoleArn and ExecutionRoleArn are different roles",
    source="ECS Developer Guide, IAM roles for tasks",
)
def _roles_apart(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for task in of_type(rendered, TASK):
        role, agent = (task.properties.get(f"{one}RoleArn") for one in ("Task", "Execution"))
        same = role is not None and (
            role == agent
            or (target_name(role) is not None and target_name(role) == target_name(agent))
        )
        if same:
            yield Finding(f"{task.name}.TaskRoleArn", "is the execution role", "Make two roles")


@rule(
    "image-pinned",
    what="Two replicas of one deployment run different code when a tag moves between their starts.",
    limit="an image has a digest, or a tag other than latest",
    source="shipping.image.uri of the spec",
)
def _image_pinned(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        image = text(one.get("Image"))
        if not pinned(image):
            yield Finding(f"{where}.Image", image[:120], "Write repository@sha256:DIGEST")


def _instance_types(rendered: Rendered, shipment: Shipment) -> set[str]:
    """Types that tasks may land on: the launch templates', else the plan's."""
    found = {
        data["InstanceType"]
        for _, data in templates(rendered)
        if isinstance(data.get("InstanceType"), str)
    }
    planned = shipment.sizing.instance_type
    return found or ({planned} if planned else set())


TASK_RULES: Final = (
    _fargate_gpu,
    _gpu_text,
    _gpu_total,
    _neuron_devices,
    _task_fits,
    _container_memory,
    _task_shm,
    _privileged,
    _roles_apart,
    _image_pinned,
)
