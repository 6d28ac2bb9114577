"""A real `pilotage serve` process for tests: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import httpx
import psutil

START_S = 240.0


@dataclass
class RunningServer:
    """A server process and what it printed."""

    process: subprocess.Popen[str]
    base: str
    events: list[dict[str, object]]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    def worker_pids(self) -> list[int]:
        return self._children("pilotage.serve.worker")

    def gateway_pid(self) -> int:
        (pid,) = self._children("pilotage.serve.gateway")
        return pid

    def _children(self, module: str) -> list[int]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in children if module in child.cmdline()]

    def wait_ready(self, seconds: float = START_S) -> None:
        deadline = time.monotonic() + seconds
        # One client: a new one for each look reads all certificates, and that takes the cores
        # from the server that is to become ready.
        with httpx.Client(base_url=self.base, trust_env=False) as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get("/health/ready").status_code == 200:
                        return
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise AssertionError("the server is not ready:\n" + "\n".join(self.lines[-30:]))

    def stop(self, sign: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        self.process.send_signal(sign)
        return self.process.wait(seconds)


@contextlib.contextmanager
def serving(
    *flags: str, environment: Mapping[str, str] | None = None, start_s: float = START_S
) -> Iterator[RunningServer]:
    """`pilotage serve --json` on a free port, ready; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pilotage.cli.main", "serve", "--json", "--port", "0", *flags],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    events: list[dict[str, object]] = []
    errors = threading.Thread(target=_collect, args=(process.stderr, lines), daemon=True)
    errors.start()
    try:
        first = process.stdout.readline()
        if not first:
            process.wait(10)
            errors.join(5)
            raise AssertionError("the server did not start:\n" + "\n".join(lines))
        events.append(json.loads(first))
        rest = threading.Thread(target=_events, args=(process.stdout, events), daemon=True)
        rest.start()
        server = RunningServer(process, str(events[0]["address"]), events, lines)
        server.wait_ready(start_s)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        errors.join(5)
        process.stdout.close()
        process.stderr.close()


def _collect(stream: object, lines: list[str]) -> None:
    with contextlib.suppress(ValueError):
        for line in stream:  # type: ignore[attr-defined]
            lines.append(line.rstrip("\n"))


def _events(stream: object, events: list[dict[str, object]]) -> None:
    with contextlib.suppress(ValueError):
        for line in stream:  # type: ignore[attr-defined]
            events.append(json.loads(line))


def run_serve(*flags: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """`pilotage serve` that is expected to fail: its exit code and its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.cli.main", "serve", *flags],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr
