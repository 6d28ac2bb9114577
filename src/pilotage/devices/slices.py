"""The machine dealt out to workers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pilotage.devices.accelerators import UNIT_NAMES, group_units, units_of
from pilotage.devices.core_shares import share_cores
from pilotage.devices.cores_near import cores_near
from pilotage.devices.describe import counted, describe
from pilotage.devices.environment import slice_environment
from pilotage.devices.machine import Machine
from pilotage.devices.slice import DeviceKind, DeviceSlice
from pilotage.devices.worker_map import map_cores, map_devices
from pilotage.errors import UsageError
from pilotage.spec.placement import WorkerSpec

ALL_KINDS: tuple[DeviceKind, ...] = ("cuda", "neuron", "cpu")


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a worker is."""

    devices: tuple[int, ...]
    cores: tuple[int, ...]


def plan_slices(
    machine: Machine,
    *,
    kind: DeviceKind | Literal["auto"] = "auto",
    workers: int | None = None,
    devices_per_worker: int = 1,
    worker_map: Sequence[WorkerSpec] = (),
    usable: Collection[DeviceKind] = ALL_KINDS,
) -> tuple[DeviceSlice, ...]:
    """Give every worker devices, the cores near them, memory, and the environment that says so.

    On a CPU, workers get equal contiguous shares of the physical cores that cross as few NUMA
    nodes as they can. Accelerators are dealt out in groups that stay on one NUMA node or Neuron
    chip where they fit on one; each worker gets cores of the node its devices are plugged into.

    Args:
        machine: What there is; see `pilotage.devices.discover`.
        kind: What to compute on. ``auto`` takes CUDA devices or NeuronCores if there are some that
            are usable, and else the CPU.
        workers: How many workers; as many as there are groups of accelerators, or one on a CPU,
            if not given. ``worker_map`` goes first.
        devices_per_worker: CUDA devices or NeuronCores of each worker.
        worker_map: The workers one by one. One without devices gets the next that none names; one
            without cores a share of those that none names.
        usable: Kinds that the engine can compute on.

    Raises:
        UsageError: The machine has not got what is asked for; the message says what there is.
    """
    chosen = _choose(machine, kind, usable)
    if chosen != "cpu" and not units_of(machine, chosen):
        raise UsageError(
            f"there is no {UNIT_NAMES[chosen]}",
            where="device",
            hint=f"This machine has {describe(machine)}",
        )
    if any(entry.devices or entry.cores for entry in worker_map):
        placed = _place_by_map(machine, chosen, worker_map, devices_per_worker)
    elif chosen == "cpu":
        placed = _place_on_cpu(machine, len(worker_map) or workers or 1)
    else:
        placed = _place_on_devices(machine, chosen, len(worker_map) or workers, devices_per_worker)
    return tuple(
        _slice(machine, chosen, worker, len(placed), one) for worker, one in enumerate(placed)
    )


def _choose(
    machine: Machine, kind: DeviceKind | Literal["auto"], usable: Collection[DeviceKind]
) -> DeviceKind:
    if kind == "auto":
        for one in ALL_KINDS:
            if one in usable and (one == "cpu" or units_of(machine, one)):
                return one
    elif kind in usable:
        return kind
    able = " or ".join(one for one in ALL_KINDS if one in usable) or "nothing"
    raise UsageError(
        f"the engine cannot compute on {'this machine' if kind == 'auto' else kind}",
        where="device",
        hint=f"It computes on {able}; this machine has {describe(machine)}",
    )


def _place_on_cpu(machine: Machine, workers: int) -> tuple[_Placed, ...]:
    limit = machine.cpu_limit
    if workers > limit:
        raise UsageError(
            f"{workers} workers for {counted(limit, 'CPU core')}",
            where="--workers",
            hint=f"Each worker needs a core of its own; ask for at most {limit}",
        )
    return tuple(_Placed((), cores) for cores in share_cores(machine.cores, workers))


def _place_on_devices(
    machine: Machine, kind: DeviceKind, workers: int | None, each: int
) -> tuple[_Placed, ...]:
    units = units_of(machine, kind)
    most = len(units) // each
    count = most if workers is None else workers
    if count > most or not most:
        name = UNIT_NAMES[kind]
        raise UsageError(
            f"{counted(max(1, count), 'worker')} of {counted(each, name)} each on a machine with "
            f"{counted(len(units), name)}",
            where="--workers" if most else "--devices-per-worker",
            hint=f"Ask for at most {most}" if most else "Ask for fewer devices a worker",
        )
    groups = group_units(units, each, count)
    cores = cores_near(machine.cores, [_node(machine, kind, group) for group in groups])
    return tuple(map(_Placed, groups, cores))


def _place_by_map(
    machine: Machine, kind: DeviceKind, entries: Sequence[WorkerSpec], each: int
) -> tuple[_Placed, ...]:
    groups = map_devices(machine, kind, entries, each)
    cores = map_cores(machine, kind, entries, [_node(machine, kind, group) for group in groups])
    return tuple(map(_Placed, groups, cores))


def _node(machine: Machine, kind: DeviceKind, devices: Sequence[int]) -> int | None:
    """The NUMA node that all the devices are on."""
    nodes = {unit.node for unit in units_of(machine, kind) if unit.number in devices}
    return nodes.pop() if len(nodes) == 1 else None


def _slice(
    machine: Machine, kind: DeviceKind, worker: int, workers: int, placed: _Placed
) -> DeviceSlice:
    limit = None
    if machine.cpu_quota is not None:
        share, extra = divmod(machine.cpu_limit, workers)
        limit = max(1, share + (worker < extra))
    threads = min(len(placed.cores), limit or len(placed.cores))
    if kind == "cpu":
        homes = {core.node for core in machine.cores if set(core.cpus) & set(placed.cores)}
        node = homes.pop() if len(homes) == 1 else None
        memory = machine.free_bytes // workers
    else:
        node = _node(machine, kind, placed.devices)
        memory = sum(
            unit.memory_bytes for unit in units_of(machine, kind) if unit.number in placed.devices
        )
    return DeviceSlice(
        worker=worker,
        kind=kind,
        cores=placed.cores,
        devices=placed.devices,
        memory_bytes=memory,
        numa_node=node,
        environment=slice_environment(machine, kind, placed.devices, threads),
        thread_limit=limit,
    )
