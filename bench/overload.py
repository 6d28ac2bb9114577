"""Overload: arrivals at three times the measured capacity; what is accepted keeps its promise.

    make bench-overload        (python bench/overload.py [--seconds 60] [--json FILE])

Four things are shown. Accepted requests have their first token within the TTFT target at p99.
Everything else is a 429, never a 5xx. The Retry-After of a 429 was right: by the time it named
the server had taken somebody else in; and, with nobody else about, coming back at that very time
is accepted. Memory stays flat. The reject rate is printed beside the result, because a result
that sheds load says nothing without it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.client import LoadProcess, run_load
from bench.load import ClosedLoop, Load, LoadResult, OpenLoop, Record
from bench.machine import split_cores, this_machine
from bench.peers.peer import chat_body, served_model
from bench.processes import ROOT, free_port, server
from bench.prompts import prompts

TOKENS = 64
FACTOR = 3.0
PROBES = 3
KV_CACHE = "128MiB"
PATIENT_S = 600.0


class Report(msgspec.Struct):
    """What the run showed."""

    machine: str
    ttft_target_s: float
    capacity_rps: float
    offered_rps: float
    arrivals: int
    accepted: int
    reject_rate: float
    statuses: dict[str, int]
    ttft_p50_s: float
    ttft_p99_s: float
    retry_after_right: float
    retry_after_median_s: float
    probes_accepted: int
    probes: int
    memory_first_mib: float
    memory_last_mib: float
    goodput_rps: float
    worst_send_lag_s: float

    def failures(self) -> list[str]:
        """The promises that were not kept."""
        broken = []
        if self.ttft_p99_s > self.ttft_target_s:
            broken.append("accepted requests missed the TTFT target at p99")
        if set(self.statuses) - {"200", "429"}:
            broken.append(f"answers other than 200 and 429: {self.statuses}")
        if self.retry_after_right < 0.99:
            broken.append("Retry-After named a time at which nobody had been let in")
        if self.probes_accepted < self.probes:
            broken.append("coming back at the named time was refused")
        if self.memory_last_mib > 1.05 * self.memory_first_mib + 16:
            broken.append("memory grew")
        return broken


def quantile(values: list[float], share: float) -> float:
    """The nearest-rank quantile; not a number without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def memory_mib(pid: int) -> float:
    """Memory that the server's processes have to themselves (shared pages counted once)."""
    total = 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def retry_was_right(result: LoadResult) -> tuple[float, list[float]]:
    """Share of refusals whose Retry-After was right, and the waits that were told.

    It was right if by then somebody else had been let in instead, or if whoever came next was.
    Refusals after whose time nobody came any more are not judged.
    """
    arrivals = sorted((r.sent_s, r.status == 200) for r in result.records)
    times = [sent for sent, _ in arrivals]
    admitted = [sent for sent, let_in in arrivals if let_in]
    right = judged = 0
    waits = []
    for record in result.records:
        if record.status != 429 or record.retry_after is None:
            continue
        waits.append(float(record.retry_after_ms or 0) / 1000)
        told = record.end_s + float(record.retry_after)
        following = bisect_right(times, told)
        if following == len(times):
            continue
        judged += 1
        taken = bisect_right(admitted, told) > bisect_right(admitted, record.end_s)
        right += taken or arrivals[following][1]
    return (right / judged if judged else float("nan")), waits


def probe(base: str, requests: tuple[dict[str, object], ...]) -> bool:
    """Fill the server until it refuses, come back when it said, and see whether that was true."""
    url = f"{base}/v1/chat/completions"
    plain = [
        {name: value for name, value in body.items() if name != "stream_options"}
        | {"stream": False}
        for body in requests
    ]
    limits = httpx.Limits(max_connections=600)

    async def run() -> bool:
        async with httpx.AsyncClient(timeout=300, limits=limits, trust_env=False) as crowd:
            tasks = []
            for body in plain[1:]:
                tasks.append(asyncio.create_task(crowd.post(url, json=body)))
                await asyncio.sleep(0.02)
                refused = next(
                    (t for t in tasks if t.done() and t.result().status_code == 429), None
                )
                if refused is not None:
                    break
            else:
                return False
            await asyncio.sleep(float(refused.result().headers["retry-after-ms"]) / 1000)
            again = await crowd.post(url, json={**plain[0], "max_tokens": 1})
            await asyncio.gather(*tasks)
            return again.status_code == 200

    return asyncio.run(run())


@contextlib.contextmanager
def serving(target_s: float) -> Iterator[tuple[str, str, int]]:
    """A server with a TTFT target: its address, its model, its process id."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [ROOT / ".venv/bin/pilotage", "serve", "--port", str(port)]
    # A small KV cache is touched wholly within seconds: what grows after that is a leak.
    command += ["--ttft-p99", f"{target_s}s", "--kv-cache", KV_CACHE]
    ready = f"{base}/health/ready"
    with server(
        "overload", command, ready_url=ready, ready_timeout_s=180, cpus=split_cores().servers
    ) as process:
        yield base, served_model(base), process.pid


def bodies(model: str, count: int, skip: int) -> tuple[dict[str, object], ...]:
    """Requests with distinct prompts."""
    extra = {"ignore_eos": True, "stream_options": {"include_usage": True}}
    return tuple(chat_body(model, text, TOKENS, **extra) for text in prompts(count, skip=skip))


def capacity_rps(cpus: tuple[int, ...]) -> float:
    """Requests a second with as many streams as the server runs at once, nothing refused."""
    with serving(PATIENT_S) as (base, model, _):
        url = f"{base}/v1/chat/completions"
        run_load(Load(url, bodies(model, 16, 0), ClosedLoop(16, 16), cpus=cpus))
        load = Load(url, bodies(model, 160, 16), ClosedLoop(64, 160), cpus=cpus)
        found = run_load(load)
        return len(found.completed) / found.elapsed_s


def measure(seconds: float, target_s: float) -> Report:
    """Find the capacity, start anew with the target, overload, and look."""
    cores = split_cores()
    capacity = capacity_rps(cores.client)
    with serving(target_s) as (base, model, pid):
        run_load(
            Load(
                f"{base}/v1/chat/completions",
                bodies(model, 16, 0),
                ClosedLoop(1, 4),
                cpus=cores.client,
            )
        )
        load = Load(
            f"{base}/v1/chat/completions",
            bodies(model, 512, 300),
            OpenLoop(FACTOR * capacity, seconds, seed=1),
            timeout_s=120,
            cpus=cores.client,
        )
        memory = []
        with LoadProcess(load) as client:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                time.sleep(1.0)
                memory.append(memory_mib(pid))
            result = client.result()
        accepted = [record for record in result.records if record.status == 200]
        time.sleep(1.0)
        outcomes = [probe(base, bodies(model, 200, 900 + 200 * i)) for i in range(PROBES)]
    right, waits = retry_was_right(result)
    ttfts = [record.ttft_s for record in accepted if record.ttft_s is not None]
    settled = memory[len(memory) // 2 :]
    return Report(
        machine=f"{this_machine()} · {cores}",
        ttft_target_s=target_s,
        capacity_rps=capacity,
        offered_rps=len(result.records) / seconds,
        arrivals=len(result.records),
        accepted=len(accepted),
        reject_rate=1 - len(accepted) / len(result.records),
        statuses=dict(Counter(_status(record) for record in result.records)),
        ttft_p50_s=quantile(ttfts, 0.5),
        ttft_p99_s=quantile(ttfts, 0.99),
        retry_after_right=right,
        retry_after_median_s=quantile(waits, 0.5),
        probes_accepted=sum(outcomes),
        probes=len(outcomes),
        memory_first_mib=settled[0],
        memory_last_mib=settled[-1],
        goodput_rps=sum(t <= target_s for t in ttfts) / result.elapsed_s,
        worst_send_lag_s=result.worst_send_lag_s,
    )


def _status(record: Record) -> str:
    if record.status == 200 and record.outcome != "complete":
        return f"200 but {record.outcome}"
    return str(record.status) if record.status is not None else record.outcome


def main() -> int:
    """Run, print, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ttft-target", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = measure(arguments.seconds, arguments.ttft_target)
    console = Console()
    table = Table(title=f"Overload: {FACTOR:g} x capacity for {arguments.seconds:g} s")
    table.add_column("what")
    table.add_column("value", justify="right")
    rows = [
        ("capacity, measured", f"{report.capacity_rps:.2f} requests/s of {TOKENS} tokens"),
        ("offered", f"{report.offered_rps:.2f} requests/s, {report.arrivals} in all"),
        ("accepted", f"{report.accepted} (reject rate {report.reject_rate:.1%})"),
        ("answers", ", ".join(f"{k}: {v}" for k, v in sorted(report.statuses.items()))),
        ("TTFT of accepted, p50 / p99", f"{report.ttft_p50_s:.2f} / {report.ttft_p99_s:.2f} s"),
        ("TTFT target", f"{report.ttft_target_s:g} s"),
        ("Retry-After right", f"{report.retry_after_right:.1%}"),
        ("Retry-After, median", f"{report.retry_after_median_s:.2f} s"),
        ("came back when told, accepted", f"{report.probes_accepted} of {report.probes}"),
        (
            "memory, at half-time and last",
            f"{report.memory_first_mib:.0f} / {report.memory_last_mib:.0f} MiB",
        ),
        ("client's worst send lag", f"{report.worst_send_lag_s * 1000:.0f} ms"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(report.machine)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    for failure in report.failures():
        console.print(f"BROKEN: {failure}", style="red")
    return 1 if report.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
