"""Faults under load: what clients see when a worker is killed, hangs, or everything is stopped.

    make bench-faults          (python bench/faults.py [--json FILE])

Each scenario sends streamed and non-streamed requests, more than the server runs at once so that
some are queued, breaks something in the middle, and counts how every single
request ended.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.client import LoadProcess
from bench.load import ClosedLoop, Load, LoadResult
from bench.machine import this_machine
from bench.peers.peer import chat_body, served_model
from bench.processes import ROOT, free_port, get, server
from bench.prompts import prompts

TOKENS = 48
SLOTS = 12
STREAMED, PLAIN = 8, 8  # more than the slots, and neither kind alone can fill them
HANG_TIMEOUT_S = 4
LONG_PROMPT_TOKENS = 6000


class Scenario(msgspec.Struct):
    """How one scenario went.

    Attributes:
        name: What was done.
        streamed: How the streamed requests ended, counted.
        plain: How the others ended, counted.
        mended_s: Seconds from the fault until the server was ready again; None if it was to end.
        failures: Promises that were not kept.
    """

    name: str
    streamed: dict[str, int]
    plain: dict[str, int]
    mended_s: float | None
    failures: list[str]


@dataclass
class Server:
    """A running server: its process and its address."""

    base: str
    model: str
    pid: int

    def worker_pids(self) -> list[int]:
        """The process ids of its workers."""
        return [
            child.pid
            for child in psutil.Process(self.pid).children(recursive=True)
            if "pilotage.serve.worker" in child.cmdline()
        ]

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = (get(f"{self.base}/metrics") or b"").decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)
        )


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """``pilotage serve`` with few slots, so that some of the load is queued."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [
        ROOT / ".venv/bin/pilotage", "serve", "--port", str(port), "--max-num-seqs", str(SLOTS),
        "--hang-timeout", f"{HANG_TIMEOUT_S}s", "--ttft-p99", "120s", "--drain-timeout", "120s",
        *flags,
    ]  # fmt: skip
    ready = f"{base}/health/ready"
    with server("faults", command, ready_url=ready, ready_timeout_s=180) as process:
        yield Server(base, served_model(base), process.pid)


def load(running: Server, *, stream: bool, count: int, tokens: int = TOKENS) -> Load:
    """A closed loop of requests of one kind."""
    extra: dict[str, object] = {"ignore_eos": True, "stream": stream}
    if stream:
        extra["stream_options"] = {"include_usage": True}
    texts = prompts(count, skip=0 if stream else 200)
    bodies = tuple(chat_body(running.model, text, tokens, **extra) for text in texts)
    return Load(
        f"{running.base}/v1/chat/completions",
        bodies,
        ClosedLoop(STREAMED if stream else PLAIN, count),
        timeout_s=180,
    )


def ended(result: LoadResult) -> dict[str, int]:
    """How the requests of a load ended."""
    return dict(
        Counter(
            record.outcome if record.outcome != "rejected" else f"status {record.status}"
            for record in result.records
        )
    )


def during_load(running: Server, fault: Callable[[], None]) -> tuple[LoadResult, LoadResult, float]:
    """Run both kinds of load, break something a while into it, wait until ready again.

    All requests are there, running or queued, when it breaks. (Newcomers get a 503 with
    Retry-After while no worker is up; that is another promise.)
    """
    with (
        LoadProcess(load(running, stream=True, count=STREAMED)) as streamed,
        LoadProcess(load(running, stream=False, count=PLAIN)) as plain,
    ):
        wait_for(lambda: running.metric("pilotage_running_requests") >= SLOTS, 60)
        wait_for(lambda: running.metric("pilotage_queue_requests") >= 1, 30)
        # Until every slot has brought some tokens: a stream that has not begun is simply retried.
        wait_for(lambda: running.metric("pilotage_generated_tokens_total") >= 6 * SLOTS, 60)
        broken_at = time.monotonic()
        fault()
        wait_for(lambda: get(f"{running.base}/health/ready") is None, 60)
        wait_for(lambda: get(f"{running.base}/health/ready") is not None, 120)
        mended_s = time.monotonic() - broken_at
        return streamed.result(), plain.result(), mended_s


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def judge(name: str, streamed: LoadResult, plain: LoadResult, mended_s: float) -> Scenario:
    """What a lost worker may do to its clients, and what it may not."""
    ends, plain_ends = ended(streamed), ended(plain)
    failures = []
    if set(plain_ends) != {"complete"}:
        failures.append("a non-streamed request was not answered")
    if any(r.completion_tokens != TOKENS for r in plain.completed):
        failures.append("a non-streamed answer was not whole, or was counted twice")
    if set(ends) - {"complete", "error_event"}:
        failures.append("a stream ended otherwise than whole or with an error event")
    if ends.get("error_event", 0) > SLOTS:
        failures.append("streams failed that the worker did not hold")
    if not ends.get("error_event"):
        failures.append("no stream was in flight: the scenario showed nothing")
    return Scenario(name, ends, plain_ends, mended_s, failures)


def kill_worker() -> Scenario:
    """A worker is killed outright."""
    with serving() as running:

        def fault() -> None:
            psutil.Process(running.worker_pids()[0]).send_signal(signal.SIGKILL)

        return judge("kill -9 of the worker", *during_load(running, fault))


def hang_worker() -> Scenario:
    """A worker stops in its tracks."""
    with serving() as running:

        def fault() -> None:
            psutil.Process(running.worker_pids()[0]).send_signal(signal.SIGSTOP)

        return judge("SIGSTOP of the worker (a hang)", *during_load(running, fault))


def busy_worker() -> Scenario:
    """A worker with a long prefill in steps longer than the hang time-out is not a hung one."""
    flags = ("--max-num-batched-tokens", "8192", "--hang-timeout", "2s")
    with serving(*flags) as running:
        before = running.worker_pids()
        text = "hello " * LONG_PROMPT_TOKENS
        body = chat_body(running.model, text, 2, stream=False)
        began = time.monotonic()
        answer = httpx.post(
            f"{running.base}/v1/chat/completions", json=body, timeout=300, trust_env=False
        )
        took = time.monotonic() - began
        failures = []
        if answer.status_code != 200:
            failures.append(f"the long prompt was answered with {answer.status_code}")
        if running.worker_pids() != before or running.metric("pilotage_worker_restarts_total"):
            failures.append("the busy worker was replaced")
        name = f"a {LONG_PROMPT_TOKENS:,}-token prefill, {took:.1f} s, hang time-out 2 s"
        return Scenario(
            name, {}, {"complete": 1 if answer.status_code == 200 else 0}, None, failures
        )


def stop_all() -> Scenario:
    """The whole server is told to stop in the middle of its work."""
    with serving() as running:
        process = psutil.Process(running.pid)
        with (
            LoadProcess(load(running, stream=True, count=STREAMED)) as streamed,
            LoadProcess(load(running, stream=False, count=PLAIN)) as plain,
        ):
            wait_for(lambda: running.metric("pilotage_running_requests") >= SLOTS, 60)
            wait_for(lambda: running.metric("pilotage_queue_requests") >= 1, 30)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            late = httpx.post(
                f"{running.base}/v1/chat/completions",
                json=chat_body(running.model, "late", 1, stream=False), timeout=60,
                trust_env=False,
            )  # fmt: skip
            ends, plain_ends = ended(streamed.result()), ended(plain.result())
        code = process.wait(60)
        failures = []
        if set(ends) | set(plain_ends) != {"complete"}:
            failures.append("a request in flight was not finished")
        if late.status_code != 503:
            failures.append(f"a late request was answered with {late.status_code}, not 503")
        if code != 0:
            failures.append(f"the exit code was {code}, not 0")
        return Scenario("SIGTERM of the whole", ends, plain_ends, None, failures)


SCENARIOS = (kill_worker, hang_worker, busy_worker, stop_all)


def main() -> int:
    """Run all scenarios, print, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    table = Table(title="Faults under load: how every request ended")
    for column in ("fault", "streamed", "not streamed", "ready again", "kept"):
        table.add_column(column)
    done = []
    for scenario in SCENARIOS:
        console.print(f"{(scenario.__doc__ or '').splitlines()[0]} …")
        went = scenario()
        done.append(went)
        table.add_row(
            went.name,
            _counted(went.streamed),
            _counted(went.plain),
            "-" if went.mended_s is None else f"{went.mended_s:.1f} s",
            "yes" if not went.failures else "; ".join(went.failures),
        )
    console.print(table)
    console.print(str(this_machine()))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(done)))
    return 1 if any(went.failures for went in done) else 0


def _counted(ends: dict[str, int]) -> str:
    return ", ".join(f"{count} {how}" for how, count in sorted(ends.items())) or "-"


if __name__ == "__main__":
    sys.exit(main())
