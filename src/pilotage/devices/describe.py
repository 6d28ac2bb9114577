"""A machine in one line, for errors and screens."""

from __future__ import annotations

from collections import Counter

from pilotage.devices.machine import Machine


def describe(machine: Machine) -> str:
    """``16 CPU cores, 8 NVIDIA A100-SXM4-40GB``; and why something could not be read."""
    parts = [counted(len(machine.cores), "CPU core")]
    for name, count in Counter(device.name for device in machine.cuda).items():
        parts.append(f"{count} {name}")
    if machine.neuron:
        chips = counted(len(machine.neuron), f"{machine.neuron[0].name or 'Neuron'} chip")
        parts.append(f"{chips} with {counted(len(machine.neuron_cores), 'NeuronCore')}")
    return "; ".join((", ".join(parts), *machine.notes))


def counted(count: int, thing: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
