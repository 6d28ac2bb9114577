"""What of an instance a task gets, and what its volumes hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.catalog.instances import Instance

UNITS_A_VCPU: Final = 1024
"""ECS counts CPU in units, 1,024 to a vCPU."""

_RESERVED_SHARE: Final = 8
_MOST_RESERVED_CPU: Final = 4 * UNITS_A_VCPU
_MOST_RESERVED_MIB: Final = 16 * 1024
_KERNEL_SHARE: Final = 0.03

_SHM_RANK_MIB: Final = 1024

_SYSTEM_GIB: Final = 30
_LOGS_GIB: Final = 5
_UNPACKED: Final = 2.5
_IMAGES_KEPT: Final = 2

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a task gets of its instance.

    Attributes:
        cpu: ECS CPU units.
        memory_mib: MiB.
        notes: The formulas.
    """

    cpu: int
    memory_mib: int
    notes: tuple[str, ...]


def room_for_task(instance: Instance, tasks_per_instance: int) -> Room:
    """CPU and memory of each task, after an eighth is left to the system.

    An eighth of an instance is left to the kernel, the ECS or kubelet agent, the log and metric
    agents and the page cache of the fetch: 1,024 of 8,192 units and 4,096 of 32,768 MiB of a
    g5.2xlarge. Large instances leave at most 4 vCPU and 16 GiB, but never less than the 3 % of
    memory that the kernel takes before an agent can register the rest (an m4.large registers 7,985
    of 8,192 MiB: ECS Developer Guide, "Reserving container instance memory").
    """
    cpu_all = instance.vcpus * UNITS_A_VCPU
    memory_all = instance.memory_bytes // _MIB
    cpu_kept = min(cpu_all // _RESERVED_SHARE, _MOST_RESERVED_CPU)
    memory_kept = max(
        min(memory_all // _RESERVED_SHARE, _MOST_RESERVED_MIB),
        math.ceil(memory_all * _KERNEL_SHARE),
    )
    cpu = (cpu_all - cpu_kept) // tasks_per_instance
    memory = (memory_all - memory_kept) // tasks_per_instance
    each = f" / {tasks_per_instance} tasks" if tasks_per_instance > 1 else ""
    return Room(
        cpu=cpu,
        memory_mib=memory,
        notes=(
            f"Task CPU {cpu:,} units = ({cpu_all:,} of {instance.name} - {cpu_kept:,} for system "
            f"and agents){each}.",
            f"Task memory {memory:,} MiB = ({memory_all:,} - {memory_kept:,} for kernel, agents "
            f"and the fetch's page cache){each}.",
        ),
    )


def shared_memory(ranks: int) -> tuple[int, tuple[str, ...]]:
    """``/dev/shm`` in MiB and why: 1 GiB a rank, 2 GiB at least; a lone rank needs none.

    Ranks pass batches (vLLM: a ring of 10 x 24 MiB) and NCCL's buffers (some 10 MiB a pair)
    through shared memory, of which a container has 64 MiB by default: then they hang or die.
    """
    if ranks <= 1:
        return 0, ()
    size = max(2, ranks) * _SHM_RANK_MIB
    return size, (f"Shared memory {size:,} MiB = {_SHM_RANK_MIB:,} MiB x {ranks} ranks.",)


def root_volume(image_bytes: int) -> tuple[int, str]:
    """Root volume in GiB and why: two unpacked images, so that a rollback needs no pull."""
    images = _IMAGES_KEPT * _UNPACKED * image_bytes / _GIB
    size = math.ceil(_SYSTEM_GIB + _LOGS_GIB + images)
    return size, (
        f"Root volume {size} GiB = {_SYSTEM_GIB} system + {_LOGS_GIB} logs + {_IMAGES_KEPT} "
        f"images x {image_bytes / _GIB:.1f} x {_UNPACKED:g} unpacked."
    )


def weights_volume(weights_bytes: int) -> tuple[int, str]:
    """Room for weights in GiB and why: twice, so that an update fits beside the old."""
    size = max(1, math.ceil(2 * weights_bytes / _GIB))
    return size, f"Weights volume {size} GiB = 2 x {weights_bytes / _GIB:.2f} GiB of weights."
