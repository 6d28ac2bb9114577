"""From spec and plan to the numbers that every target renders from, each with its formula."""

from __future__ import annotations

import math
import os
from typing import Final

from pilotage.catalog.instances import Instance, load_instances
from pilotage.errors import UsageError
from pilotage.ship.choosing import PROVIDED, choose_target
from pilotage.ship.replicas import replicas_of, tasks_per_instance
from pilotage.ship.room import room_for_task, root_volume, shared_memory, weights_volume
from pilotage.ship.sizing import Sizing
from pilotage.ship.startup import SAGEMAKER_START_S, Startup, startup_of
from pilotage.ship.stopping import stop_time
from pilotage.ship.target import Shipment
from pilotage.ship.weights import stored_weights
from pilotage.spec import Deployment
from pilotage.spec.plan_file import PlanFile
from pilotage.spec.shipping import ShippingSpec, TargetName

_IMAGE_BYTES: Final = {"cpu": 1_500_000_000, "cuda": 9_000_000_000, "neuron": 12_000_000_000}
"""Compressed images: vLLM's has about 9 GB (shared/facts/planning.md); the others are priors."""

_SETTINGS: Final = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype")
_DTYPES: Final = ("bf16", "fp16", "fp32", "int8", "fp8")
"""Number formats that are a flag; those that lie in the files (AWQ) are found there."""

_FUNCTION_MIB: Final = 1024
_FUNCTION_CPU: Final = 1024
_SAGEMAKER_PORT: Final = 8080
_PORT: Final = 8000
_GIB: Final = 1 << 30


def prepare(
    deployment: Deployment,
    plan: PlanFile | None,
    *,
    target: TargetName | None = None,
    weights_bytes: int | None = None,
) -> Shipment:
    """What is to be shipped.

    Args:
        deployment: The spec.
        plan: A plan in which something fits; `pilotage.spec.read_plan` refuses others with their
            reason.
        target: Stronger than the spec's; without either the plan's strategy says it.
        weights_bytes: Of the weights, where they were measured.

    Raises:
        UsageError: No target is named, or it cannot run what was planned.
    """
    if plan is not None and plan.name != deployment.name:
        raise UsageError(
            f'is the plan of "{plan.name}", not of "{deployment.name}"',
            where="--plan",
            hint="Plan this spec, or name the deployment that the plan is of",
        )
    chosen = choose_target(deployment, plan, target=target)
    shipping = deployment.shipping or ShippingSpec()
    return Shipment(
        deployment=deployment,
        shipping=shipping,
        target=chosen,
        sizing=size(deployment, plan, shipping, chosen, weights_bytes=weights_bytes),
        plan=plan,
    )


def size(
    deployment: Deployment,
    plan: PlanFile | None,
    shipping: ShippingSpec,
    target: TargetName,
    *,
    weights_bytes: int | None = None,
) -> Sizing:
    """The numbers of a deployment; every one has a sentence in `Sizing.notes`.

    Args:
        deployment: The spec.
        plan: What was chosen; None for a local deployment or a function.
        shipping: The spec's section.
        target: Where it goes.
        weights_bytes: Of the weights as stored, where they were measured.

    Raises:
        UsageError: The instance type is not known, or cannot hold the plan's ranks.
    """
    if target in PROVIDED:
        return _provided(deployment, plan, shipping, target)
    instance = _instance(plan)
    ranks = plan.deployment.tensor_parallel * plan.deployment.pipeline_parallel if plan else 1
    neuron = instance is not None and instance.neuron_chip is not None
    accelerated = instance is not None and instance.accelerator is not None
    devices, why_devices = _devices(instance, ranks)
    each = tasks_per_instance(plan, instance, devices) if plan else 1
    if target.startswith("sagemaker"):
        each = 1  # One container has the whole of an instance.
    notes = [*why_devices]
    found = stored_weights(deployment.model, plan, instance)
    weights = found.bytes if weights_bytes is None else weights_bytes
    origin = found.origin if weights_bytes is None else "measured"
    notes.append(f"Weights {weights / 1e9:,.2f} GB: {origin}.")
    kind = _kind(shipping, accelerated=accelerated, neuron=neuron)
    image = 0 if target == "local" else _IMAGE_BYTES[kind]

    weights_gib, why_weights = weights_volume(weights)
    store = instance is not None and instance.nvme_bytes >= weights_gib * _GIB * each
    if instance is not None and store:
        why_weights += f" They lie on the NVMe of {instance.name}, which is in its price."
    root_gib, why_root = root_volume(image) if image else (0, "Volumes are this machine's own.")
    started = startup_of(
        weights,
        shipping.weights_uri or deployment.model.source,
        instance,
        instance_store=store,
        tasks_per_instance=each,
        given_grace=shipping.grace,
    )
    grace, why_grace = _within(target, started)
    shm, why_shm = shared_memory(ranks)
    stopping = stop_time(deployment.serving.drain_timeout, shipping, target)
    counts = replicas_of(deployment, plan, shipping, target, per_instance=each)
    cpu, memory, why_room = _room(instance, each)
    return Sizing(
        instance_type=instance.name if instance else None,
        gpus=ranks if accelerated and not neuron else 0,
        neuron_devices=devices if neuron else 0,
        task_cpu=cpu,
        task_memory_mib=memory,
        shm_mib=shm,
        desired=counts.desired,
        min_replicas=counts.least,
        max_replicas=counts.most,
        fetch_s=started.fetch_s,
        load_s=started.load_s,
        grace_s=grace,
        drain_s=stopping.drain_s,
        stop_s=stopping.stop_s,
        root_gib=root_gib,
        weights_gib=weights_gib,
        instance_store=store,
        weights_bytes=weights,
        image_bytes=image,
        tasks_per_instance=each,
        port=_port(deployment, target),
        engine=_engine(deployment, plan, accelerated=accelerated, neuron=neuron),
        arguments=_arguments(deployment, plan, target),
        notes=(
            *notes,
            *why_room,
            *why_shm,
            *started.notes,
            *why_grace,
            *stopping.notes,
            why_root,
            why_weights,
            *counts.notes,
        ),
    )


def _instance(plan: PlanFile | None) -> Instance | None:
    if plan is None or plan.deployment.instance_type is None:
        return None
    name = plan.deployment.instance_type.removeprefix("ml.")
    found = load_instances().get(name)
    if found is None:
        raise UsageError(
            f"{name} is not among the instance types that Pilotage knows",
            where="plan: deployment.instance_type",
            hint="See pilotage catalog instances",
        )
    return found


def _devices(instance: Instance | None, ranks: int) -> tuple[int, tuple[str, ...]]:
    """GPUs or Neuron chips of a task, and why. Ranks of a plan are NeuronCores there.

    Raises:
        UsageError: The instance type has fewer.
    """
    if instance is None or instance.accelerator is None:
        return ranks, ()
    chip, has = instance.neuron_chip, instance.accelerator.count
    cores = 1 if chip is None else chip.visible_cores
    devices = -(-ranks // cores)
    if devices > has:
        of = "accelerators" if chip is None else "NeuronCores"
        raise UsageError(
            f"the plan spreads the model over {ranks} {of}; {instance.name} has "
            f"{has * cores}, and a task cannot span instances",
            where="plan: deployment.tensor_parallel",
            hint="Plan again, with instances that have as many",
        )
    of = "GPUs" if chip is None else "NeuronCores"
    why = f"{ranks} {of} a task = tensor parallel x pipeline parallel of the plan"
    if chip is not None:
        why += f", on {devices} Neuron device(s) of {cores} cores"
    return devices, (f"{why}.",)


def _within(target: TargetName, started: Startup) -> tuple[int, tuple[str, ...]]:
    """The grace within the platform's bound, and why it is not what was wanted."""
    if not target.startswith("sagemaker"):
        return started.grace_s, ()
    needed = started.fetch_s + started.load_s
    if needed > SAGEMAKER_START_S:
        raise UsageError(
            f"fetch and load take {needed:,.0f} s by the prediction, and SageMaker gives a "
            f"container {SAGEMAKER_START_S:,} s to start",
            where="shipping.target",
            hint="Put the weights into S3 (shipping.weights_uri), plan an instance with NVMe "
            "disks, or ship to ecs",
        )
    if started.grace_s <= SAGEMAKER_START_S:
        return started.grace_s, ()
    return SAGEMAKER_START_S, (
        f"Grace {SAGEMAKER_START_S:,} s and not {started.grace_s:,} s: SageMaker's start-up "
        "time-out is at most that.",
    )


def _room(instance: Instance | None, each: int) -> tuple[int, int, tuple[str, ...]]:
    """CPU units and MiB of a task; of this machine where there is no instance, which has no cap."""
    if instance is None:
        cpu = (os.cpu_count() or 1) * 1024
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cpu, pages // (1 << 20), ("CPU and memory are this machine's own, without a cap.",)
    room = room_for_task(instance, each)
    return room.cpu, room.memory_mib, room.notes


def _kind(shipping: ShippingSpec, *, accelerated: bool, neuron: bool) -> str:
    if shipping.image.engine != "auto":
        return shipping.image.engine
    if neuron:
        return "neuron"
    return "cuda" if accelerated else "cpu"


def _engine(
    deployment: Deployment, plan: PlanFile | None, *, accelerated: bool, neuron: bool
) -> str:
    """As planned, as the spec says, or what serving picks on such hardware."""
    if plan is not None and plan.deployment.engine is not None:
        return plan.deployment.engine
    if deployment.model.engine != "auto":
        return deployment.model.engine
    if neuron:
        return "neuron"
    return "vllm" if accelerated else "openvino"


def _port(deployment: Deployment, target: TargetName) -> int:
    if target.startswith("sagemaker"):
        return _SAGEMAKER_PORT
    return deployment.serving.port or _PORT


def _arguments(
    deployment: Deployment, plan: PlanFile | None, target: TargetName
) -> tuple[str, ...]:
    """Flags of ``pilotage serve``: the address of a container, and what the plan says."""
    found: list[str] = []
    if target != "local":
        found += ["--host", "0.0.0.0", "--port", str(_port(deployment, target))]  # noqa: S104
    if plan is None:
        return tuple(found)
    planned = plan.deployment
    if planned.engine is not None:
        found += ["--engine", planned.engine]
    if planned.dtype in _DTYPES:
        found += ["--dtype", str(planned.dtype)]
    if planned.engine == "vllm" and planned.tensor_parallel > 1:
        found += ["--tensor-parallel", str(planned.tensor_parallel)]
    if planned.engine == "vllm" and planned.pipeline_parallel > 1:
        found += ["--pipeline-parallel", str(planned.pipeline_parallel)]
    for name in _SETTINGS:
        if planned.settings.get(name) is not None:
            found += [f"--{name.replace('_', '-')}", str(planned.settings[name])]
    return tuple(found)


def _provided(
    deployment: Deployment, plan: PlanFile | None, shipping: ShippingSpec, target: TargetName
) -> Sizing:
    """A function in front of the provider's models, or the provider's units."""
    counts = replicas_of(deployment, plan, shipping, target)
    drain = math.ceil(deployment.serving.drain_timeout)
    return Sizing(
        instance_type=None,
        task_cpu=_FUNCTION_CPU,
        task_memory_mib=_FUNCTION_MIB,
        desired=counts.desired,
        min_replicas=counts.least,
        max_replicas=counts.most,
        fetch_s=0.0,
        load_s=0.0,
        grace_s=0,
        drain_s=drain,
        stop_s=drain,
        root_gib=0,
        weights_gib=0,
        engine="bedrock",
        notes=(
            *(
                (
                    f"{_FUNCTION_MIB} MiB for a function that waits for answers: Python, boto3 and "
                    "the router take about 300 MB, and CPU comes with memory.",
                )
                if target == "lambda-bedrock"
                else ()
            ),
            "The provider holds the weights: nothing is fetched or loaded.",
            *counts.notes,
        ),
    )
