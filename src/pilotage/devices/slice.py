"""A part of the machine that one worker has for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

DeviceKind = Literal["cpu", "cuda", "neuron"]


class DeviceSlice(msgspec.Struct, frozen=True, kw_only=True):
    """The devices, cores and memory of one worker.

    Attributes:
        worker: The worker's number, from 0.
        kind: What it computes on.
        cores: Logical CPUs its process is pinned to.
        devices: CUDA device indices or NeuronCore numbers; empty on a CPU.
        memory_bytes: Memory of those devices; for a CPU the machine's free memory shared out.
        numa_node: Where cores and devices are near each other, if that is known.
        environment: Variables its process starts with (``CUDA_VISIBLE_DEVICES``,
            ``NEURON_RT_VISIBLE_CORES``, thread counts).
    """

    worker: int
    kind: DeviceKind
    cores: tuple[int, ...]
    devices: tuple[int, ...] = ()
    memory_bytes: int = 0
    numa_node: int | None = None
    environment: Mapping[str, str] = {}

    @property
    def threads(self) -> int:
        """Engine threads: one a core."""
        return len(self.cores)

    @property
    def name(self) -> str:
        """For people: ``cuda:0,1``, ``neuron:4-5``, ``cpu:0-7``."""
        numbers = self.devices or self.cores
        return f"{self.kind}:{_ranges(numbers)}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """``(0, 1, 2, 5)`` as ``0-2,5``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
