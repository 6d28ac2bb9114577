"""CUDA devices and NeuronCores as one thing: units that workers get in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pilotage.devices.machine import Machine
from pilotage.devices.slice import DeviceKind

UNIT_NAMES = {"cuda": "CUDA device", "neuron": "NeuronCore", "cpu": "CPU core"}
"""What workers get, by kind."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A CUDA device or a NeuronCore.

    Attributes:
        number: As specs and slices call it.
        home: What a group should stay on: the NUMA node of a CUDA device, the chip of a core.
        node: NUMA node, if it is known.
        memory_bytes: Its own, or its share of the chip's.
    """

    number: int
    home: int | None
    node: int | None
    memory_bytes: int


def units_of(machine: Machine, kind: DeviceKind) -> tuple[Unit, ...]:
    """The units of a kind, those of a home side by side; none for the CPU."""
    units: list[Unit] = []
    if kind == "cuda":
        units = [
            Unit(device.number, device.numa_node, device.numa_node, device.memory_bytes)
            for device in machine.cuda
        ]
    elif kind == "neuron":
        units = [
            Unit(core, chip.number, chip.numa_node, chip.core_memory_bytes)
            for chip in machine.neuron
            for core in chip.cores
        ]
    return tuple(
        sorted(units, key=lambda unit: (-1 if unit.home is None else unit.home, unit.number))
    )


def group_units(units: Sequence[Unit], size: int, count: int) -> tuple[tuple[int, ...], ...]:
    """`count` groups of `size` units each, by their numbers.

    Groups stay within a home if so many fit that way; or else they follow one another without a
    gap.

    Args:
        units: Those of a home side by side; at least ``size * count``.
        size: Units of a group.
        count: Groups.
    """
    kept: list[tuple[int, ...]] = []
    for _, home in groupby(units, key=lambda unit: unit.home):
        numbers = [unit.number for unit in home]
        kept += _chunks(numbers, size)
    if len(kept) < count:
        kept = _chunks([unit.number for unit in units], size)
    return tuple(kept[:count])


def _chunks(numbers: list[int], size: int) -> list[tuple[int, ...]]:
    """Full groups only."""
    return [tuple(numbers[at : at + size]) for at in range(0, len(numbers) - size + 1, size)]
