"""What a machine has for workers to compute on, as values."""

from __future__ import annotations

from math import ceil

import msgspec


class PhysicalCore(msgspec.Struct, frozen=True, kw_only=True):
    """A core, with its hardware threads that this process may use.

    Attributes:
        cpus: Their logical CPU numbers.
        node: NUMA node; None if the machine does not tell.
        package: The socket.
    """

    cpus: tuple[int, ...]
    node: int | None = None
    package: int = 0


class MemoryNode(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one NUMA node, bytes."""

    number: int
    total_bytes: int
    free_bytes: int


class CudaDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU, or a part of one (MIG) that a process sees as a GPU.

    Attributes:
        number: How specs and ``--devices`` call it: its index in PCI order; with MIG its place
            among all devices that a process can open.
        name: Such as ``NVIDIA A100-SXM4-40GB``.
        uuid: The driver's name for it.
        memory_bytes: Of the device.
        free_bytes: What nobody had taken when it was looked at.
        capability: CUDA compute capability, such as ``(8, 0)``.
        numa_node: Near which node it is plugged in, if that is known.
        cpus: Logical CPUs near it, if they are known.
        visible_as: What ``CUDA_VISIBLE_DEVICES`` calls it: the index, or the UUID of a MIG part.
    """

    number: int
    name: str
    uuid: str = ""
    memory_bytes: int = 0
    free_bytes: int = 0
    capability: tuple[int, int] | None = None
    numa_node: int | None = None
    cpus: tuple[int, ...] = ()
    visible_as: str


class NeuronChip(msgspec.Struct, frozen=True, kw_only=True):
    """An Inferentia or Trainium chip.

    Attributes:
        number: Of its device node: 3 is ``/dev/neuron3``.
        cores: Numbers of its NeuronCores, as ``NEURON_RT_VISIBLE_CORES`` counts them over all
            chips. Cores that the environment hides are not among them.
        name: Such as ``Inferentia2``; empty if nothing tells.
        version: Of its NeuronCores: 1, 2, …; None if nothing tells.
        memory_bytes: Of the chip, which its cores share.
        core_count: All its cores, hidden ones too.
        numa_node: Near which node it is plugged in, if that is known.
    """

    number: int
    cores: tuple[int, ...]
    name: str = ""
    version: int | None = None
    memory_bytes: int = 0
    core_count: int
    numa_node: int | None = None

    @property
    def core_memory_bytes(self) -> int:
        """Memory of the chip for each of its cores."""
        return self.memory_bytes // self.core_count


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a machine that this process may use.

    Attributes:
        cores: In the order of their NUMA nodes, then of their lowest CPU number.
        memory_bytes: Memory of the machine, or the control group's limit where that is lower.
        free_bytes: What can be had of it now.
        nodes: Memory by NUMA node; empty if the machine does not tell.
        cpu_quota: CPU seconds a second that the control group allows; None without a limit.
        cuda: CUDA devices.
        neuron: Neuron chips.
        notes: What was there but could not be read, for people.
    """

    cores: tuple[PhysicalCore, ...]
    memory_bytes: int = 0
    free_bytes: int = 0
    nodes: tuple[MemoryNode, ...] = ()
    cpu_quota: float | None = None
    cuda: tuple[CudaDevice, ...] = ()
    neuron: tuple[NeuronChip, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """Every logical CPU, in order."""
        return tuple(sorted(cpu for core in self.cores for cpu in core.cpus))

    @property
    def cpu_limit(self) -> int:
        """Threads that can run at once: the CPUs, or what the control group's quota is worth."""
        if self.cpu_quota is None:
            return len(self.cpus)
        return max(1, min(len(self.cpus), ceil(self.cpu_quota)))

    @property
    def neuron_cores(self) -> tuple[int, ...]:
        """Every NeuronCore's number, in order."""
        return tuple(sorted(core for chip in self.neuron for core in chip.cores))
