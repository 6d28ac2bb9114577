"""Limits that several strategies share, held against a deployment."""

from __future__ import annotations

import math
from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.instances import Instance, load_instances
from pilotage.plan.cost import prompt_bytes
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies.limits import Circumstances, Limits
from pilotage.units import format_duration, format_size

_INF: Final = math.inf


def payload(limits: Limits, demand: Demand) -> tuple[Obstacle, ...]:
    """Whether the 99th percentile of the requests gets in.

    Its bytes are estimated as in `pilotage.plan.cost.traffic`: 4.5 bytes a token, images as JPEG
    in base64.
    """
    if limits.request_bytes is None:
        return ()
    needed = prompt_bytes(demand, demand.prompt.p99)
    if needed <= limits.request_bytes:
        return ()
    relax = "Send smaller images or addresses of them" if demand.images else "Shorten the prompts"
    return (
        Obstacle(
            limit="payload",
            message=f"a request of {demand.prompt.p99:,.0f} tokens"
            + (f" and {demand.images} images" if demand.images else "")
            + f" is about {_size(needed)}; {limits.title} takes {_size(limits.request_bytes)}",
            relax=relax,
            shortfall=needed / limits.request_bytes,
        ),
    )


def timeout(limits: Limits, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Whether requests end before the strategy ends them."""
    allowed = limits.stream_timeout_s or limits.timeout_s
    predicted = circumstances.e2e_p99_s
    if allowed is None or predicted is None or predicted <= allowed:
        return ()
    return (
        Obstacle(
            limit="time-out",
            message=f"a request takes {_duration(predicted)} at p99; {limits.title} ends it after "
            f"{_duration(allowed)}",
            relax="Shorten the completions, or take faster hardware",
            shortfall=predicted / allowed,
        ),
    )


def start_up(limits: Limits, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Whether a copy is up before the strategy gives up on it."""
    if limits.start_s is None or circumstances.start_s is None:
        return ()
    if circumstances.start_s <= limits.start_s:
        return ()
    return (
        Obstacle(
            limit="start-up",
            message=f"a copy takes {_duration(circumstances.start_s)} to start; {limits.title} "
            f"waits {_duration(limits.start_s)}",
            relax="Store the weights in fewer bits, or bring them closer",
            shortfall=circumstances.start_s / limits.start_s,
        ),
    )


def memory(limits: Limits, anatomy: Anatomy, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Whether the weights alone fit."""
    weights = circumstances.weights(anatomy)
    if limits.memory_bytes is None or weights <= limits.memory_bytes:
        return ()
    return (
        Obstacle(
            limit="memory",
            message=f"the weights take {_size(weights)}; {limits.title} has at most "
            f"{_size(limits.memory_bytes)}",
            relax="Take a smaller model, or fewer bits a weight",
            shortfall=weights / limits.memory_bytes,
        ),
    )


def streaming(limits: Limits, demand: Demand, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """Without streaming the first token comes with the last."""
    promised, predicted = demand.ttft_p99, circumstances.e2e_p99_s
    if limits.streams or promised is None:
        return ()
    if predicted is not None and predicted <= promised:
        return ()
    takes = f"after {_duration(predicted)} at p99" if predicted else "with the last"
    return (
        Obstacle(
            limit="ttft_p99",
            message=f"{limits.title} does not stream: the first token comes {takes}; "
            f"{_duration(promised)} is promised",
            relax="Promise an end-to-end latency instead of a first token",
            shortfall=predicted / promised if predicted else _INF,
        ),
    )


def concurrency(
    limits: Limits, demand: Demand, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    """Whether the requests in flight at the peak fit: Little's law, L = rate x time in system."""
    if limits.concurrency is None or circumstances.e2e_p99_s is None:
        return ()
    flying = demand.peak * circumstances.e2e_p99_s
    if flying <= limits.concurrency:
        return ()
    return (
        Obstacle(
            limit="concurrency",
            message=f"{demand.peak:g} requests/s of {_duration(circumstances.e2e_p99_s)} are "
            f"{flying:,.0f} at once; {limits.title} takes {limits.concurrency}",
            relax="Split the load over several endpoints",
            shortfall=flying / limits.concurrency,
        ),
    )


def instance_has(
    configuration: Configuration, circumstances: Circumstances, *, neuron: bool
) -> tuple[Obstacle, ...]:
    """Whether the instance type exists, has the accelerators a replica needs, and is offered.

    The accelerators of a task, or of a copy of the model, must be in one instance.
    """
    name = (configuration.instance_type or "").removeprefix("ml.")
    instance = load_instances().get(name)
    if instance is None:
        return (
            Obstacle(
                limit="instance type",
                message=f"the instance type {name or '(none)'} is not in the catalog",
                relax="Name another; pilotage catalog show lists them",
            ),
        )
    found = []
    if circumstances.offered is False:
        found.append(
            Obstacle(
                limit="region",
                message=f"the region does not have {name}",
                relax="Plan for another region or type",
            )
        )
    return (*found, *_accelerators(instance, configuration, neuron=neuron))


def _accelerators(
    instance: Instance, configuration: Configuration, *, neuron: bool
) -> tuple[Obstacle, ...]:
    kind = "Inferentia or Trainium" if neuron else "GPU"
    if instance.accelerator is None or (instance.neuron_chip is not None) is not neuron:
        return (Obstacle(limit=f"no {kind}", message=f"{instance.name} has no {kind}", relax=""),)
    needed = configuration.tensor_parallel * configuration.pipeline_parallel
    # Neuron's parallel degrees count cores, not chips.
    there = instance.neuron_cores if neuron else instance.accelerator.count
    if needed <= there:
        return ()
    return (
        Obstacle(
            limit="accelerators",
            message=f"a copy is spread over {needed} {kind} devices; {instance.name} has {there}",
            relax="Take a larger instance type, or fewer parallel ranks",
            shortfall=needed / there,
        ),
    )


def _size(size: float) -> str:
    return format_size(round(size), digits=3)


def _duration(seconds: float) -> str:
    return format_duration(seconds, digits=3)
