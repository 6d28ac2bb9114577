"""The planner's simulation: its speed, and whether what it says is right.

    make bench-simulate     (python bench/simulate.py [--quick] [--server] [--json FILE])

Speed: one hour at 500 requests a second over 20 replicas, on one core, under both routings, and
a chat-like mix; against vllm-sr-sim on the same requests (``make bench-simulate-env``). Right:
against M/G/1 and M/M/c in closed form, and with ``--server`` against an overload run of Pilotage's
own server, whose step times are measured first. That last one needs a machine with nothing else
to do. The times are CPU seconds of this process (and wall-clock seconds beside them).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import this_machine
from bench.processes import ROOT
from bench.simulate_server import ServerRun, run_server
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.queueing import mg1_wait_s, mmc_wait_quantile_s, mmc_wait_s
from pilotage.plan.simulate import Fleet, Requests, from_demand, poisson, simulate
from pilotage.plan.step_model import Batch, EngineLimits

TARGET_S = 10.0
REPLICAS = 20
LIMITS = EngineLimits(
    max_num_seqs=256, max_num_batched_tokens=8192, kv_tokens=400_000, max_model_len=8192
)
MODERATION = Demand(
    rate=500,
    peak=500,
    shape="steady",
    prompt=Lengths(p50=150, p99=600),
    completion=Lengths(p50=4, p99=10),
)
# p50 and p99 of the Azure 2023 conversation trace, at a rate that 20 replicas carry.
CHAT = Demand(
    rate=60,
    peak=60,
    shape="steady",
    prompt=Lengths(p50=1020, p99=4142),
    completion=Lengths(p50=129, p99=601),
)


class Roofline:
    """An 8B model in bf16 on one A100, roughly; the bench is about speed, not about the model."""

    def step_s(self, batch: Batch) -> float:
        """Expected seconds."""
        tokens = batch.prefill_tokens + batch.decode_seqs
        looked_at = batch.prefill_context + batch.decode_context
        compute = (16e9 * tokens + 4 * 32 * 4096 * looked_at) / 400e12
        return 0.002 + max(compute, (16e9 + 131072 * batch.decode_context) / 2e12)

    floor_s = step_s


class Prompts:
    """A server whose work is as long as the prompt: a microsecond a token."""

    def step_s(self, batch: Batch) -> float:
        """Expected seconds."""
        return 1e-6 * batch.prefill_tokens

    floor_s = step_s


class Ticks:
    """Steps of a millisecond: every slot is a server, a completion's length its service."""

    def step_s(self, batch: Batch) -> float:
        """Expected seconds."""
        return 0.001

    floor_s = step_s


class Speed(msgspec.Struct):
    """How long a run took: the median of its repetitions."""

    what: str
    requests: int
    cpu_s: float
    wall_s: float
    requests_per_s: float
    window_bias: float = 0.0


class Agreement(msgspec.Struct):
    """A closed form and what the simulation says, in seconds of wait."""

    what: str
    quantity: str
    expected_s: float
    simulated_s: float

    @property
    def relative_error(self) -> float:
        """Of the simulation, with the closed form as the truth."""
        return self.simulated_s / self.expected_s - 1


class Report(msgspec.Struct):
    """All that was found."""

    machine: str
    load_average: float
    speeds: list[Speed]
    peers: list[Speed]
    not_measured: dict[str, str]
    agreements: list[Agreement]
    server: ServerRun | None = None

    def failures(self) -> list[str]:
        """The promises that were not kept."""
        broken = [
            f"{speed.what} took {speed.cpu_s:.1f} s of CPU, more than {TARGET_S:g} s"
            for speed in self.speeds
            if speed.what.startswith("moderation, 1 h") and speed.cpu_s > TARGET_S
        ]
        broken += [
            f"{each.what}, {each.quantity}: off by {each.relative_error:+.1%}"
            for each in self.agreements
            if abs(each.relative_error) > (0.05 if each.quantity == "mean" else 0.1)
        ]
        return broken


def speed(what: str, demand: Demand, routing: str, duration_s: float, repeats: int) -> Speed:
    """Simulate so long a time, some times over; drawing the requests is part of it."""
    cpu, wall = [], []
    for seed in range(repeats):
        began, began_wall = time.process_time(), time.perf_counter()
        fleet = Fleet(replicas=REPLICAS, routing=routing)  # type: ignore[arg-type]
        result = simulate(demand, Roofline(), LIMITS, fleet, duration_s=duration_s, seed=seed)
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - began_wall)
    took = statistics.median(cpu)
    return Speed(
        f"{what}, {routing}",
        result.requests,
        took,
        statistics.median(wall),
        result.requests / took,
        result.window_bias,
    )


def peer_speed(routing: str, duration_s: float) -> Speed:
    """vllm-sr-sim on the first part of the same requests; it takes as long for each later one.

    Raises:
        RuntimeError: Its environment is missing, or it failed.
    """
    python = ROOT / ".venv-sim" / "bin" / "python"
    if not python.exists():
        raise RuntimeError("run: make bench-simulate-env")
    requests = from_demand(MODERATION, duration_s, 0)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "requests.npz"
        np.savez(
            given,
            times_s=requests.times_s,
            prompt=requests.prompt,
            completion=requests.completion,
        )
        began = time.perf_counter()
        done = subprocess.run(
            [python, ROOT / "bench/simulate_peer.py", str(REPLICAS), routing, given],
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    said = json.loads(done.stdout)
    return Speed(
        f"vllm-sr-sim, {duration_s:g} s of moderation, {routing}",
        said["requests"],
        said["cpu_s"],
        wall,
        said["requests"] / said["cpu_s"],
    )


def single_server(count: int, rate: float, cv: float) -> list[Agreement]:
    """M/G/1 with gamma service (M/M/1 at a variation of 1): mean wait, and p99 where known."""
    random = np.random.default_rng(0)
    mean = 0.01
    service = random.gamma(1 / cv**2, mean * cv**2, count) if cv else np.full(count, mean)
    prompt = np.maximum(1, np.rint(service * 1e6)).astype(np.int64).clip(max=500_000)
    times = poisson(rate, count / rate, random)[:count]
    prompt = prompt[: len(times)]
    limits = EngineLimits(
        max_num_seqs=1, max_num_batched_tokens=500_000, kv_tokens=10**7, max_model_len=500_001
    )
    requests = Requests(times, prompt, np.ones(len(times), np.int64), count / rate)
    result = simulate(requests, Prompts(), limits, exact=True)
    waits = result.samples("ttft") - prompt * 1e-6
    what = f"M/G/1, rho {rate * mean:g}, cv {cv:g}"
    # The closed form for the service times that were drawn, not for their distribution: heavy
    # tails differ from sample to sample, and that is no error of the simulation.
    mean, cv_drawn = float(prompt.mean()) * 1e-6, float(prompt.std() / prompt.mean())
    rate_drawn = len(times) / float(times[-1])
    found = [Agreement(what, "mean", mg1_wait_s(rate_drawn, mean, cv_drawn), float(waits.mean()))]
    if cv == 1.0:
        expected = mmc_wait_quantile_s(rate_drawn, mean, 1, 0.99)
        found.append(Agreement(what, "p99", expected, float(np.quantile(waits, 0.99))))
    return found


def slots(count: int, servers: int, rho: float) -> list[Agreement]:
    """M/M/c: the slots of a batch as servers, completions of geometric length."""
    random = np.random.default_rng(1)
    steps = 200
    rate = rho * servers / (steps * 0.001)
    times = poisson(rate, count / rate, random)
    limits = EngineLimits(
        max_num_seqs=servers, max_num_batched_tokens=1000, kv_tokens=10**7, max_model_len=10**5
    )
    completion = random.geometric(1 / steps, len(times))
    requests = Requests(times, np.ones(len(times), np.int64), completion, count / rate)
    result = simulate(requests, Ticks(), limits, exact=True)
    # Its own step, and half a step until the one in hand ends.
    waits = result.samples("ttft") - 0.001 - 0.0005
    service = float(completion.mean()) * 0.001
    rate_drawn = len(times) / float(times[-1])
    what = f"M/M/{servers}, rho {rho:g}"
    return [
        Agreement(what, "mean", mmc_wait_s(rate_drawn, service, servers), float(waits.mean())),
        Agreement(
            what,
            "p99",
            mmc_wait_quantile_s(rate_drawn, service, servers, 0.99),
            float(np.quantile(waits, 0.99)),
        ),
    ]


def measure(*, quick: bool, server: bool, console: Console) -> Report:
    """Take all figures."""
    share = 0.02 if quick else 1.0
    repeats = 1 if quick else 3
    report = Report(str(this_machine()), os.getloadavg()[0], [], [], {}, [])
    name = "moderation, 1 h" if not quick else "moderation, 72 s"
    for routing in ("round-robin", "least-loaded"):
        report.speeds.append(speed(name, MODERATION, routing, 3600 * share, repeats))
        report.speeds.append(speed("chat", CHAT, routing, 1800 * share, 1))
        console.print(report.speeds[-2], report.speeds[-1])
        try:
            report.peers.append(peer_speed(routing, 2.0 if quick else 60.0))
        except RuntimeError as error:
            report.not_measured["vllm-sr-sim"] = str(error)
    report.not_measured["vidur"] = (
        "its wheel (0.0.26) holds no profiles: it downloads measured kernels from Hugging Face "
        "at run time"
    )
    count = 20_000 if quick else 500_000
    for cv in (0.0, 0.5, 1.0, 2.0):
        report.agreements += single_server(count, 70.0, cv)
    for servers in (4, 16):
        report.agreements += slots(count, servers, 0.8)
    if server:
        report.server = run_server(seconds=15.0 if quick else 60.0)
    return report


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    speeds = Table(title="Speed on one core")
    for column in ("what", "requests", "CPU s", "wall s", "requests/s", "window bias"):
        speeds.add_column(column, justify="left" if column == "what" else "right")
    for row in (*report.speeds, *report.peers):
        speeds.add_row(
            row.what,
            f"{row.requests:,}",
            f"{row.cpu_s:.2f}",
            f"{row.wall_s:.2f}",
            f"{row.requests_per_s:,.0f}",
            f"{row.window_bias:+.2%}",
        )
    agreements = Table(title="Wait in queue against closed forms")
    for column in ("queue", "quantity", "closed form", "simulated", "error"):
        agreements.add_column(column, justify="left" if column == "queue" else "right")
    for each in report.agreements:
        agreements.add_row(
            each.what,
            each.quantity,
            f"{each.expected_s * 1000:.2f} ms",
            f"{each.simulated_s * 1000:.2f} ms",
            f"{each.relative_error:+.1%}",
        )
    console.print(speeds, agreements)
    if report.server:
        console.print(report.server.table())
    for what, why in report.not_measured.items():
        console.print(f"not measured: {what}: {why}", highlight=False)
    console.print(f"{report.machine} · load average at the start {report.load_average:.1f}")


def main() -> int:
    """Run, print, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the time")
    parser.add_argument("--server", action="store_true", help="also against a real server")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    console = Console()
    # A server that was started is ended when the bench is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = measure(quick=given.quick, server=given.server, console=console)
    show(report, console)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    failures = [] if given.quick else report.failures()
    for failure in failures:
        console.print(f"BROKEN: {failure}", style="red")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
