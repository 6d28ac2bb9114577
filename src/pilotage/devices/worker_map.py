"""``serving.worker_map``: workers that name their devices or cores themselves."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.devices.accelerators import UNIT_NAMES, group_units, units_of
from pilotage.devices.core_shares import share_cores
from pilotage.devices.cores_near import cores_near, without
from pilotage.devices.describe import counted, describe
from pilotage.devices.machine import Machine
from pilotage.devices.numbers import format_ranges
from pilotage.devices.slice import DeviceKind
from pilotage.errors import UsageError
from pilotage.spec.placement import WorkerSpec


def map_devices(
    machine: Machine, kind: DeviceKind, entries: Sequence[WorkerSpec], each: int
) -> tuple[tuple[int, ...], ...]:
    """Each entry's devices: those it names, or the next `each` that no entry names.

    Raises:
        UsageError: There is no such device, or two entries name it, or none is left.
    """
    units = units_of(machine, kind)
    _check(
        [entry.devices for entry in entries],
        frozenset(unit.number for unit in units),
        field="devices",
        thing="device" if kind == "cpu" else UNIT_NAMES[kind],
        have=describe(machine) if kind == "cpu" else None,
    )
    if kind == "cpu":
        return ((),) * len(entries)
    taken = {number for entry in entries for number in entry.devices}
    free = [unit for unit in units if unit.number not in taken]
    lacking = [number for number, entry in enumerate(entries) if not entry.devices]
    possible = len(free) // each
    if len(lacking) > possible:
        raise UsageError(
            f"{counted(each, UNIT_NAMES[kind])} for it, but {len(free)} of {len(units)} are left",
            where=_where(lacking[possible]),
            hint="Name its devices, or take this worker out",
        )
    groups = iter(group_units(free, each, len(lacking)))
    return tuple(entry.devices or next(groups) for entry in entries)


def map_cores(
    machine: Machine,
    kind: DeviceKind,
    entries: Sequence[WorkerSpec],
    nodes: Sequence[int | None],
) -> tuple[tuple[int, ...], ...]:
    """Each entry's CPUs: those it names, or a share of those that no entry names.

    Args:
        machine: What there is.
        kind: What the workers compute on.
        entries: The workers.
        nodes: The NUMA node of each worker's devices.

    Raises:
        UsageError: There is no such CPU, or two entries name it, or none is left.
    """
    _check(
        [entry.cores for entry in entries],
        frozenset(machine.cpus),
        field="cores",
        thing="CPU",
        have=None,
    )
    left = without(machine.cores, {cpu for entry in entries for cpu in entry.cores})
    lacking = [number for number, entry in enumerate(entries) if not entry.cores]
    count = sum(len(core.cpus) for core in left)
    if lacking and (not left or (kind == "cpu" and len(lacking) > count)):
        raise UsageError(
            f"no CPU is left for it: the others name "
            f"{format_ranges(cpu for entry in entries for cpu in entry.cores)} of "
            f"{format_ranges(machine.cpus)}",
            where=f"{_where(lacking[min(count, len(lacking) - 1)])}.cores",
            hint="Name its cores, or leave it some",
        )
    if not lacking:
        shares: tuple[tuple[int, ...], ...] = ()
    elif kind == "cpu":
        shares = share_cores(left, len(lacking))
    else:
        shares = cores_near(left, [nodes[number] for number in lacking])
    rest = iter(shares)
    return tuple(tuple(sorted(entry.cores)) or next(rest) for entry in entries)


def _check(
    named: Sequence[Sequence[int]],
    known: frozenset[int],
    *,
    field: str,
    thing: str,
    have: str | None,
) -> None:
    owner: dict[int, int] = {}
    for entry, numbers in enumerate(named):
        for number in numbers:
            where = f"{_where(entry)}.{field}"
            if number not in known:
                raise UsageError(
                    f"there is no {thing} {number} that this process may use",
                    where=where,
                    hint=f"This machine has {have or format_ranges(known)}",
                )
            if number in owner:
                raise UsageError(
                    f"{thing} {number} is also named by {_where(owner[number])}",
                    where=where,
                    hint="Each worker has its own",
                )
            owner[number] = entry


def _where(entry: int) -> str:
    return f"serving.worker_map[{entry}]"
