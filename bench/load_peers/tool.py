"""What a measured load generator is to the benchmark, and how one is run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.processes import RESULTS, ROOT, keeping_to, kill_group

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Work:
    """What a load generator is to do; streamed chat completions, a short prompt each.

    Attributes:
        kind: The process of the arrivals, or ``closed`` for a closed loop.
        rate: Requests a second on average, of an open loop.
        concurrency: Requests in flight, of a closed loop.
        duration_s: How long requests are begun.
        burstiness: Shape of ``gamma``.
        seed: Of the arrivals, for the tools that take one.
        cpus: CPU cores of all the tool's processes; empty for all.
    """

    kind: Literal["constant", "poisson", "gamma", "closed"]
    rate: float = 0.0
    concurrency: int = 0
    duration_s: float = 10.0
    burstiness: float = 1.0
    seed: int = 1
    cpus: tuple[int, ...] = ()

    @property
    def requests(self) -> int:
        """Requests of an open loop, on average."""
        return round(self.rate * self.duration_s)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the end-to-end latency, in seconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float] | Times) -> Percentiles:
        """Nearest ranks, as Pilotage's reports have them."""
        found = np.percentile(values, (50, 90, 99), method="inverted_cdf")
        return cls(*(float(value) for value in found))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a tool said of one run.

    Attributes:
        latency: What it calls the request's latency.
        from_schedule: The latency from the scheduled time, where it reports that separately.
        failed: Requests that it counted as failed.
        due_s: When each request was due, on the machine's monotonic clock, where it tells.
        sent_s: When each was sent, likewise.
        send_delay_s: How late each was begun, likewise.
    """

    latency: Percentiles
    from_schedule: Percentiles | None = None
    failed: int = 0
    due_s: Times = field(default_factory=lambda: np.empty(0))
    sent_s: Times = field(default_factory=lambda: np.empty(0))
    send_delay_s: Times = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class Tool:
    """A load generator of the comparison.

    Attributes:
        key: Its name in results and on the command line.
        title: What it is, with its version.
        ready: Raises `NotMeasurable` with the reason if it cannot be run here.
        measure: Loads the server at an address so, and says what came of it. Takes a variant too.
        variants: Settings of which the best counts, where it is asked how much it can send.
        note: What a reader must know to judge its figures.
    """

    key: str
    title: str
    ready: Callable[[], None]
    measure: Callable[[str, Work, str], Figures]
    variants: tuple[str, ...] = ("default",)
    note: str = ""


def run_tool(
    name: str,
    command: Sequence[object],
    *,
    cpus: Sequence[int],
    environment: Mapping[str, str],
    timeout_s: float,
) -> None:
    """Run a tool to its end, with all of its processes on ``cpus``.

    What it prints goes to ``bench/results/logs/<name>.log``.

    Raises:
        RuntimeError: It failed, or took too long; the message holds its last lines.
    """
    log = RESULTS / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, keeping_to(cpus):
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder(name),
            env={**os.environ, "NO_COLOR": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    began = time.monotonic()
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name} did not end within {timeout_s:g} s") from None
    finally:
        kill_group(process)
    if code != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        seconds = time.monotonic() - began
        raise RuntimeError(f"{name} ended with exit code {code} after {seconds:.0f} s:\n{last}")


def folder(name: str) -> Path:
    """A folder for what a tool reads and writes."""
    path = RESULTS / "load_peers" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def executable(environment: str, program: str) -> Path:
    """A program in one of the bench's environments; it need not be there."""
    return ROOT / environment / "bin" / program


def prompt(number: int) -> str:
    """A short prompt; each is another one."""
    return f"Write one word, number {number}."
