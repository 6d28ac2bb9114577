"""The machine a figure was taken on: no figure without it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

_NOTED_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader needs to judge a figure.

    Attributes:
        date: UTC, to the minute.
        cpu: The CPU's model name.
        cores: Cores this process may use.
        memory_gib: Memory in GiB.
        instructions: The wide-arithmetic instruction sets the CPU has.
    """

    date: str
    cpu: str
    cores: int
    memory_gib: float
    instructions: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.date} · {self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, "
            f"{' '.join(self.instructions) or 'no AVX'}"
        )


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs on which cores. Empty: on all of them, together.

    Attributes:
        servers: Cores of the systems measured.
        client: Cores of the load generator.
    """

    servers: tuple[int, ...]
    client: tuple[int, ...]

    def __str__(self) -> str:
        if not self.client:
            return "load generator and servers share all cores"
        return f"load generator on core {self.client[0]}, servers on the others"


def this_machine() -> Machine:
    """The machine this runs on."""
    facts = _cpu_facts()
    flags = facts.get("flags", "").split()
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=facts.get("model name") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=psutil.virtual_memory().total / 2**30,
        instructions=tuple(flag for flag in _NOTED_FLAGS if flag in flags),
    )


def split_cores() -> Cores:
    """The last core for the load generator where there are more than two, else all for all.

    With two cores, giving one away would halve what is measured.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= 2:
        return Cores((), ())
    return Cores(tuple(cores[:-1]), (cores[-1],))


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 itself; without it PyTorch's bf16 is slower than fp32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(this_machine().instructions))


def _cpu_facts() -> dict[str, str]:
    facts: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return facts
    for line in text.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts
