"""Which CPU cores each worker gets."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from pilotage.errors import UsageError


@dataclass(frozen=True, slots=True)
class CpuSlice:
    """The cores of one worker.

    Attributes:
        worker: The worker's number, from 0.
        cores: Logical CPU numbers its process is pinned to.
    """

    worker: int
    cores: tuple[int, ...]

    @property
    def threads(self) -> int:
        """Engine threads: one a core."""
        return len(self.cores)


def available_cores() -> tuple[int, ...]:
    """The logical CPUs this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(psutil.cpu_count() or 1))


def slice_cpu(workers: int, cores: tuple[int, ...]) -> tuple[CpuSlice, ...]:
    """Split the cores into `workers` contiguous slices whose sizes differ by at most one.

    Raises:
        UsageError: There are more workers than cores.
    """
    if workers > len(cores):
        raise UsageError(
            f"{workers} workers for {len(cores)} CPU core{'s' if len(cores) > 1 else ''}",
            where="--workers",
            hint=f"Each worker needs a core of its own; ask for at most {len(cores)}",
        )
    share, extra = divmod(len(cores), workers)
    slices, start = [], 0
    for worker in range(workers):
        end = start + share + (worker < extra)
        slices.append(CpuSlice(worker, cores[start:end]))
        start = end
    return tuple(slices)


def pin(cores: tuple[int, ...]) -> None:
    """Bind this process, and every thread it starts from now on, to the cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
