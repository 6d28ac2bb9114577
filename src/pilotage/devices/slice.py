"""A part of the machine that one worker has for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from pilotage.devices.numbers import format_ranges

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
        thread_limit: Threads that the control group's CPU quota is worth, where that is less than
            the cores; None without a quota. A quota limits time, not places: pinning to fewer
            cores would put all containers of a host on the same ones.
    """

    worker: int
    kind: DeviceKind
    cores: tuple[int, ...]
    devices: tuple[int, ...] = ()
    memory_bytes: int = 0
    numa_node: int | None = None
    environment: Mapping[str, str] = {}
    thread_limit: int | None = None

    @property
    def threads(self) -> int:
        """Engine threads: one a core, within the quota."""
        return min(len(self.cores), self.thread_limit or len(self.cores))

    @property
    def name(self) -> str:
        """For people: ``cuda:0-1``, ``neuron:4-5``, ``cpu:0-7``."""
        return f"{self.kind}:{format_ranges(self.devices or self.cores)}"
