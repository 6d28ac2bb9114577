"""What a gateway adds: latency, CPU, memory; beside LiteLLM's proxy, vllm-router and no gateway.

    make bench-gateway     (python -m bench.gateway [--quick] [--systems NAMES] [--json FILE])

One backend that answers at once, one gateway at a time on a core of its own, the backend and the
load client on another. For each gateway, whole answers and streams of 16 chunks:

- **requests/s** with 64 connections, each of which asks again as soon as it is answered;
- **requests/s a core**: answered requests by the CPU seconds of the gateway's processes meanwhile.
  It does not depend on what the client and the backend can do, nor on who else uses the machine;
- **added latency**: at half of the gateway's own rate, and at the same rate straight to the
  backend: the differences of the medians and of the 99th percentiles;
- **memory** of Pilotage's processes after 100,000 requests, by that after the first 5,000.

Runs of the gateways alternate; figures are medians. LiteLLM and vllm-router come from ``make
bench-gateway-env``; what is missing is said to be missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from bench.machine import this_machine
from bench.processes import ROOT, StartError, free_port, keeping_to, server, sole_bench

CONNECTIONS = 64
TARGET_RATIO = 15.0
TARGET_P50_S, TARGET_P99_S = 0.8e-3, 3e-3
TARGET_GROWTH = 1.1
GATEWAY_ENV = ROOT / ".venv-gateway" / "bin"


@dataclass(frozen=True)
class System:
    """Something between client and backend.

    Attributes:
        name: In tables.
        start: Its processes, for a backend's port; gives the base address of its API.
    """

    name: str
    start: Callable[[int, Path], contextlib.AbstractContextManager[tuple[str, int]]]
    model: str = "fast"


@dataclass
class Measured:
    """Runs of one system and kind of answer."""

    system: str
    kind: str
    rps: list[float] = field(default_factory=list)
    rps_a_core: list[float] = field(default_factory=list)
    added_p50_s: list[float] = field(default_factory=list)
    added_p99_s: list[float] = field(default_factory=list)
    failed: int = 0
    client_cores: float = 0.0


class Row(msgspec.Struct):
    """Medians of a system and kind of answer."""

    system: str
    kind: str
    rps: float
    rps_a_core: float | None
    added_p50_ms: float | None
    added_p99_ms: float | None
    failed: int
    client_cores: float
    ratio_to_litellm: float | None = None


class Report(msgspec.Struct):
    """All of it."""

    machine: str
    load_average: float
    rows: list[Row]
    memory: dict[str, tuple[float, float]]
    missing: dict[str, str]


def cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The gateway's core, and those of the backend and the client."""
    first, *others = sorted(os.sched_getaffinity(0))
    return ((others[0],), (first, *others[1:])) if others else ((first,), (first,))


@contextlib.contextmanager
def bare(backend: int, folder: Path) -> Iterator[tuple[str, int]]:
    """No gateway."""
    del folder
    yield f"http://127.0.0.1:{backend}", 0


@contextlib.contextmanager
def pilotage(backend: int, folder: Path) -> Iterator[tuple[str, int]]:
    """``pilotage serve`` with one remote tier."""
    port = free_port()
    spec = folder / "gateway.yaml"
    spec.write_text(
        f"""\
name: gateway
routing:
  policy: static
  ledger: {{path: {folder / "ledger.sqlite"}}}
  tiers:
    - name: big
      price: {{input: 1.10, output: 4.40}}
      backends: [{{kind: openai, url: "http://127.0.0.1:{backend}/v1", model: fast}}]
"""
    )
    command = [sys.executable, "-m", "pilotage.cli.main", "serve", spec, "--port", port]
    base = f"http://127.0.0.1:{port}"
    with server(
        "gateway-pilotage",
        command,
        ready_url=f"{base}/health/ready",
        ready_timeout_s=60,
        environment={"PILOTAGE_HOME": str(folder / "home")},
        cpus=cores()[0],
    ) as process:
        yield base, process.pid


@contextlib.contextmanager
def litellm(backend: int, folder: Path) -> Iterator[tuple[str, int]]:
    """LiteLLM's proxy, one worker, its logging off."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        f"""\
model_list:
  - model_name: fast
    litellm_params:
      model: openai/fast
      api_base: http://127.0.0.1:{backend}/v1
      api_key: none
litellm_settings: {{telemetry: false, set_verbose: false, turn_off_message_logging: true}}
general_settings: {{disable_spend_logs: true}}
"""
    )
    command = [GATEWAY_ENV / "litellm", "--config", config, "--port", port, "--host", "127.0.0.1"]
    base = f"http://127.0.0.1:{port}"
    with server(
        "gateway-litellm",
        command,
        ready_url=f"{base}/health/liveliness",
        ready_timeout_s=180,
        environment={
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        cpus=cores()[0],
    ) as process:
        yield base, process.pid


@contextlib.contextmanager
def vllm_router(backend: int, folder: Path) -> Iterator[tuple[str, int]]:
    """The router of vLLM, in Rust; it keeps no account of tokens or money."""
    del folder
    port = free_port()
    command = [
        GATEWAY_ENV / "vllm-router", "--host", "127.0.0.1", "--port", port,
        "--worker-urls", f"http://127.0.0.1:{backend}", "--policy", "round_robin",
        "--prometheus-port", free_port(), "--log-level", "error",
    ]  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    with server(
        "gateway-vllm-router",
        command,
        ready_url=f"{base}/v1/models",
        ready_timeout_s=60,
        cpus=cores()[0],
    ) as process:
        yield base, process.pid


SYSTEMS = {
    "none": System("none", bare),
    "pilotage": System("pilotage", pilotage, "auto"),
    "litellm": System("litellm", litellm),
    "vllm-router": System("vllm-router", vllm_router),
}


def load(
    base: str, model: str, *, seconds: float, rate: float, stream: bool, connections: int
) -> dict[str, float]:
    """One run of the load client, on the backend's core."""
    command = [
        sys.executable, "-m", "bench.gateway_load", f"{base}/v1/chat/completions",
        str(connections), str(seconds), str(rate), "1" if stream else "0", model, "none",
    ]  # fmt: skip
    with keeping_to(cores()[1]):
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and all it started."""
    return sum(sum(one.cpu_times()[:2]) for one in _family(pid))


def memory_mb(pid: int) -> float:
    """Memory of a process and all it started, each page counted where it is used."""
    return sum(one.memory_info().rss for one in _family(pid)) / 1e6


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def measure(
    names: list[str], *, repeats: int, seconds: float, memory_requests: int, console: Console
) -> Report:
    """Take all figures."""
    report = Report(str(this_machine()), os.getloadavg()[0], [], {}, {})
    found: dict[tuple[str, str], Measured] = {}
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as text:
        backend = free_port()
        stack.enter_context(
            server(
                "gateway-backend",
                [sys.executable, "-m", "bench.gateway_backend", backend],
                ready_url=f"http://127.0.0.1:{backend}/health",
                ready_timeout_s=20,
                cpus=cores()[1],
            )
        )
        running: dict[str, tuple[str, int]] = {}
        for name in names:
            folder = Path(text) / name
            folder.mkdir()
            try:
                running[name] = stack.enter_context(SYSTEMS[name].start(backend, folder))
            except (StartError, OSError) as error:
                report.missing[name] = str(error).splitlines()[0]
        direct = f"http://127.0.0.1:{backend}"
        for name, (base, _) in running.items():  # warm
            for stream in (False, True):
                load(base, SYSTEMS[name].model, seconds=2, rate=0, stream=stream, connections=8)
        for turn in range(repeats):
            order = list(running) if turn % 2 == 0 else list(running)[::-1]
            for name in order:
                base, pid = running[name]
                for stream in (False, True):
                    kind = "stream" if stream else "whole"
                    row = found.setdefault((name, kind), Measured(name, kind))
                    one_run(row, base, pid, direct, seconds, stream=stream)
                    console.print(
                        f"run {turn + 1}: {name}, {kind}: {row.rps[-1]:,.0f}/s", highlight=False
                    )
        for name, (base, pid) in running.items():
            if name == "pilotage" and memory_requests:
                report.memory[name] = memory(base, SYSTEMS[name].model, pid, memory_requests)
    report.rows = [_row(one) for one in found.values()]
    for row in report.rows:
        peer = next((r for r in report.rows if r.system == "litellm" and r.kind == row.kind), None)
        if peer and peer.rps_a_core and row.rps_a_core:
            row.ratio_to_litellm = row.rps_a_core / peer.rps_a_core
    return report


def one_run(
    row: Measured, base: str, pid: int, direct: str, seconds: float, *, stream: bool
) -> None:
    """Its rate, then what it adds at half of that."""
    model = SYSTEMS[row.system].model
    before = cpu_s(pid) if pid else 0.0
    full = load(base, model, seconds=seconds, rate=0, stream=stream, connections=CONNECTIONS)
    used = cpu_s(pid) - before if pid else 0.0
    rate = full["requests"] / full["seconds"]
    row.rps.append(rate)
    row.failed += int(full["failed"])
    row.client_cores = max(row.client_cores, full["cpu_s"] / full["seconds"])
    if not pid:
        return
    row.rps_a_core.append(full["requests"] / used)
    half = rate / 2
    behind = load(base, model, seconds=seconds, rate=half, stream=stream, connections=CONNECTIONS)
    straight = load(
        direct, "fast", seconds=seconds / 2, rate=half, stream=stream, connections=CONNECTIONS
    )
    row.failed += int(behind["failed"])
    row.added_p50_s.append(behind["p50_s"] - straight["p50_s"])
    row.added_p99_s.append(behind["p99_s"] - straight["p99_s"])


def memory(base: str, model: str, pid: int, requests: int) -> tuple[float, float]:
    """Megabytes after 5,000 requests and after so many."""

    def send(count: int) -> None:
        left = count
        while left > 0:
            done = load(base, model, seconds=4, rate=0, stream=False, connections=32)
            left -= int(done["requests"])

    send(min(5000, requests))
    first = memory_mb(pid)
    send(requests)
    return first, memory_mb(pid)


def _row(one: Measured) -> Row:
    def median(values: list[float]) -> float | None:
        return statistics.median(values) if values else None

    p50, p99 = median(one.added_p50_s), median(one.added_p99_s)
    return Row(
        one.system,
        one.kind,
        statistics.median(one.rps),
        median(one.rps_a_core),
        None if p50 is None else p50 * 1e3,
        None if p99 is None else p99 * 1e3,
        one.failed,
        one.client_cores,
    )


def failures(report: Report) -> list[str]:
    """Targets that were missed."""
    missed = []
    for row in report.rows:
        if row.system != "pilotage":
            continue
        if row.ratio_to_litellm is not None and row.ratio_to_litellm < TARGET_RATIO:
            missed.append(
                f"{row.kind}: {row.ratio_to_litellm:.1f} x LiteLLM's requests/s a core, "
                f"not {TARGET_RATIO:g}"
            )
        if row.added_p50_ms is not None and row.added_p50_ms > TARGET_P50_S * 1e3:
            missed.append(f"{row.kind}: {row.added_p50_ms:.2f} ms added at p50, not 0.8")
        if row.added_p99_ms is not None and row.added_p99_ms > TARGET_P99_S * 1e3:
            missed.append(f"{row.kind}: {row.added_p99_ms:.2f} ms added at p99, not 3")
        if row.failed:
            missed.append(f"{row.kind}: {row.failed} requests failed")
    if "pilotage" in report.memory:
        first, last = report.memory["pilotage"]
        if last > TARGET_GROWTH * first:
            missed.append(f"memory grew from {first:.0f} to {last:.0f} MB")
    return missed


def show(report: Report, console: Console) -> None:
    """Print the table."""
    table = Table(title="Gateways in front of a backend that answers at once")
    for column in (
        "gateway", "answers", "requests/s", "requests/s a core", "x LiteLLM", "added p50",
        "added p99", "failed", "client cores",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in {"gateway", "answers"} else "right")
    for row in report.rows:
        table.add_row(
            row.system,
            row.kind,
            f"{row.rps:,.0f}",
            "-" if row.rps_a_core is None else f"{row.rps_a_core:,.0f}",
            "-" if row.ratio_to_litellm is None else f"{row.ratio_to_litellm:.1f}",
            "-" if row.added_p50_ms is None else f"{row.added_p50_ms:.2f} ms",
            "-" if row.added_p99_ms is None else f"{row.added_p99_ms:.2f} ms",
            str(row.failed),
            f"{row.client_cores:.2f}",
        )
    console.print(table)
    for name, (first, last) in report.memory.items():
        console.print(f"memory of {name}: {first:.0f} MB, then {last:.0f} MB", highlight=False)
    for name, why in report.missing.items():
        console.print(f"not measured: {name}: {why}", highlight=False)
    console.print(f"{report.machine} · load average at the start {report.load_average:.1f}")


def main() -> int:
    """Run, print, and fail if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short run, no memory test")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    console = Console(width=max(100, Console().width))
    with sole_bench():
        report = measure(
            given.systems.split(","),
            repeats=1 if given.quick else given.repeats,
            seconds=3.0 if given.quick else 8.0,
            memory_requests=0 if given.quick else 100_000,
            console=console,
        )
    show(report, console)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    missed = failures(report)
    for one in missed:
        console.print(f"MISSED: {one}", style="red")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
