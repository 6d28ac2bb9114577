"""Server processes that the benches start: ready when they say so, and never left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository; every child process starts here."""

RESULTS = ROOT / "bench" / "results"
"""Where logs and results go; git ignores it."""

# Straight to this machine, whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BusyError(RuntimeError):
    """Another bench is running here; the two would measure each other."""


class StartError(RuntimeError):
    """A server did not become ready; the message holds the last lines it wrote."""


@contextlib.contextmanager
def sole_bench() -> Iterator[None]:
    """Be the only bench of this checkout that measures; the lock ends with the process.

    Raises:
        BusyError: Another one does.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("another bench is running: wait for its end, or end it") from None
        yield


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, timeout_s: float = 5.0) -> bytes | None:
    """The body of a 200 answer to GET, or None: refused, timed out or another status."""
    try:
        with _direct.open(url, timeout=timeout_s) as answer:
            return bytes(answer.read()) if answer.status == 200 else None
    except (urllib.error.URLError, OSError):
        return None


@contextlib.contextmanager
def server(
    name: str,
    command: Sequence[object],
    *,
    ready_url: str,
    ready_timeout_s: float,
    environment: Mapping[str, str] | None = None,
    cpus: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until `ready_url` answers 200, and end its process group afterwards.

    What it prints goes to ``bench/results/logs/<name>.log``.

    Raises:
        StartError: It ended, or was not ready in time.
    """
    log = RESULTS / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, keeping_to(cpus):
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + ready_timeout_s
        while get(ready_url) is None:
            if process.poll() is not None:
                raise StartError(f"{name} ended with exit code {process.returncode}:\n{_end(log)}")
            if time.monotonic() > deadline:
                raise StartError(f"{name} was not ready after {ready_timeout_s:g} s:\n{_end(log)}")
            time.sleep(0.2)
        yield process
    finally:
        kill_group(process)


@contextlib.contextmanager
def keeping_to(cpus: Sequence[int]) -> Iterator[None]:
    """Processes started inside keep to these CPU cores; to all of ours if none is named."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def kill_group(process: subprocess.Popen[bytes], grace_s: float = 10.0) -> None:
    """End a process that leads its own group, and all it has started: politely, then surely."""
    for sign, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    # The group may outlive its leader: SIGKILL above has reached what was left of it.


def _end(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
