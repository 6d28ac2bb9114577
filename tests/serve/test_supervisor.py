"""The supervisor with real processes: deaths, hangs, crash loops, drains. No orphan may remain.

It runs in a process of its own, since signals are its business. Its children are tiny programs
that do as their config says and write a diary.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from pilotage.errors import ModelError

CHILD = """
import json, os, signal, sys, time
from pathlib import Path
from pilotage.serve.board import Board, State

config = json.loads(Path(sys.argv[1]).read_text())
name, do = config["name"], config["do"]
folder = Path(sys.argv[1]).parent

def note(event):
    line = f"{time.monotonic()} {name} {event} {os.getpid()}\\n".encode()
    with (folder / "diary").open("ab", buffering=0) as diary:
        diary.write(line)

note("start")
starts = sum(f" {name} start " in line for line in (folder / "diary").read_text().splitlines())
board = Board(folder / f"{name}.board")
if do == "crash" or (do == "crash once" and starts == 1):
    print(f"boom {starts}", file=sys.stderr)
    sys.exit(7)
if do == "fatal":
    (folder / f"{name}.errors").write_text(json.dumps(config["error"]))
    sys.exit(3)
if do == "load forever":
    time.sleep(1000)

stopping = False
def on_term(*_):
    global stopping
    stopping = True
if do == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif do != "load slowly":
    signal.signal(signal.SIGTERM, on_term)
if do == "load slowly":
    time.sleep(config["load_s"])
    signal.signal(signal.SIGTERM, on_term)
if waits_for := config.get("waits_for"):
    while Board(folder / f"{waits_for}.board").state is not State.READY and not stopping:
        time.sleep(0.02)
board.state = State.READY
note("ready")
while not stopping:
    board.beat()
    time.sleep(0.03)
    while do == "burn once" and starts == 1:
        pass
note("term")
board.state = State.DRAINING
time.sleep(config.get("drain_s", 0))
note("end")
sys.exit(config.get("exit_code", 0))
"""

DRIVER = """
import json, logging, sys
from pathlib import Path
from pilotage.errors import PilotageError
from pilotage.serve import child as child_module
from pilotage.serve import supervisor as supervisor_module
from pilotage.serve.board import Board
from pilotage.serve.child import Child
from pilotage.serve.supervisor import Supervisor

def tell(**fields):
    sys.stdout.write(json.dumps(fields) + "\\n")
    sys.stdout.flush()

logging.basicConfig(level=logging.INFO)
folder = Path(sys.argv[1])
setup = json.loads(sys.argv[2])
child_module._FIRST_BACKOFF_S = setup["backoff_s"]
child_module._CERTAINLY_HUNG = 6.0
supervisor_module._DRAIN_SLACK_S = supervisor_module._STOP_S = 0.5

def child(name):
    board = Board(folder / f"{name}.board", create=True)
    return Child(name, "tiny_child", folder / f"{name}.json", board, folder / f"{name}.errors")

supervisor = Supervisor(
    child("gateway"), [child(name) for name in setup["workers"]],
    drain_timeout_s=setup["drain_s"], load_timeout_s=setup["load_s"],
    hang_timeout_s=setup["hang_s"],
    notify=lambda event, message: tell(event=event.name, message=message))
try:
    code = supervisor.run()
except PilotageError as error:
    tell(error=error.as_dict())
    sys.exit(error.exit_code)
tell(code=code)
sys.exit(code)
"""


class Run:
    """A supervisor at work."""

    def __init__(
        self,
        folder: Path,
        *,
        gateway: dict[str, Any] | None = None,
        workers: list[dict[str, Any]] | None = None,
        drain_s: float = 5.0,
        load_s: float = 60.0,
        hang_s: float = 60.0,
        backoff_s: float = 0.02,
    ) -> None:
        self.folder = folder
        (folder / "tiny_child.py").write_text(CHILD)
        (folder / "diary").touch()
        names = []
        for number, settings in enumerate(workers if workers is not None else [{}]):
            names.append(f"worker-{number}")
            self._write(names[-1], settings)
        self._write("gateway", gateway or {})
        setup = {
            "workers": names, "drain_s": drain_s, "load_s": load_s, "hang_s": hang_s,
            "backoff_s": backoff_s,
        }  # fmt: skip
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(folder), json.dumps(setup)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(folder)},
            )
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _write(self, name: str, settings: dict[str, Any]) -> None:
        config = {"name": name, "do": "beat", **settings}
        (self.folder / f"{name}.json").write_text(json.dumps(config))

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.events.append(json.loads(line))

    def until(self, condition: Callable[[], object], timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, (self.events, self.log.read_text())
            assert self.process.poll() is None or condition(), (
                self.events,
                self.log.read_text(),
            )
            time.sleep(0.01)

    def until_ready(self) -> None:
        self.until(lambda: {"event": "READY", "message": "ready"} in self.events)

    def diary(self, name: str, event: str) -> list[tuple[float, int]]:
        """When, and in which process, a child noted an event."""
        lines = [line.split() for line in (self.folder / "diary").read_text().splitlines()]
        return [
            (float(at), int(pid)) for at, who, what, pid in lines if (who, what) == (name, event)
        ]

    def replaced(self) -> list[str]:
        return [e["message"] for e in self.events if e.get("event") == "REPLACED"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Its exit code, once it has ended; nothing it started may be left."""
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise AssertionError((self.events, self.log.read_text())) from None
        self._reader.join(10)
        assert self.left_over() == []
        return code

    def left_over(self) -> list[int]:
        lines = [line.split() for line in (self.folder / "diary").read_text().splitlines()]
        return [pid for pid in {int(line[3]) for line in lines} if psutil.pid_exists(pid)]

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.left_over():
            psutil.Process(pid).kill()
        self._reader.join(10)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(**settings: Any) -> Run:
        runs.append(Run(tmp_path, **settings))
        return runs[-1]

    yield start
    for run in runs:
        run.clean_up()


def test_a_killed_child_is_started_again_and_a_drain_ends_in_order(
    supervise: Callable[..., Run],
) -> None:
    run = supervise(gateway={"drain_s": 0.3}, workers=[{}, {}])
    run.until_ready()
    ((_, victim),) = run.diary("worker-1", "ready")
    os.kill(victim, signal.SIGKILL)
    run.until(lambda: len(run.diary("worker-1", "ready")) == 2)
    assert len(run.replaced()) == 1
    assert "worker-1 was killed by SIGKILL" in run.replaced()[0]
    assert len(run.diary("worker-0", "start")) == len(run.diary("gateway", "start")) == 1
    assert run.stop() == 0
    ((gateway_ended, _),) = run.diary("gateway", "end")
    for worker in ("worker-0", "worker-1"):  # they go on until the gateway has finished
        ((told, _),) = run.diary(worker, "term")
        assert told > gateway_ended
    assert [event["event"] for event in run.events[:-1]] == ["READY", "REPLACED", "DRAINING"]
    assert run.events[-1] == {"code": 0}


def test_a_killed_gateway_is_started_again(supervise: Callable[..., Run]) -> None:
    run = supervise()
    run.until_ready()
    os.kill(run.diary("gateway", "ready")[0][1], signal.SIGKILL)
    run.until(lambda: len(run.diary("gateway", "ready")) == 2)
    assert len(run.diary("worker-0", "start")) == 1
    assert run.stop() == 0


def test_a_crash_loop_ends_with_the_last_lines(supervise: Callable[..., Run]) -> None:
    run = supervise(workers=[{}, {"do": "crash"}], backoff_s=0.05)
    assert run.end() == 1
    error = run.events[-1]["error"]
    assert error["type"] == "ServeError"
    assert (
        "worker-1 failed 5 times in a row; the last time it exited with code 7"
        in (error["message"])
    )
    assert error["message"].endswith("boom 5")
    starts = [at for at, _ in run.diary("worker-1", "start")]
    pauses = [after - before for before, after in pairwise(starts)]
    assert len(pauses) == 4
    for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert pause > least


def test_a_child_that_fails_once_is_forgiven(supervise: Callable[..., Run]) -> None:
    run = supervise(workers=[{"do": "crash once"}])
    run.until_ready()
    assert run.replaced() == ["worker-0 exited with code 7"]
    assert run.stop() == 0


def test_an_error_that_no_restart_can_mend_ends_it_at_once(
    supervise: Callable[..., Run],
) -> None:
    error = ModelError("the file is damaged", where="m.gguf", hint="Fetch it again")
    run = supervise(workers=[{"do": "fatal", "error": error.as_dict()}])
    assert run.end() == 1
    assert run.events == [{"error": error.as_dict()}]
    assert len(run.diary("worker-0", "start")) == 1


@pytest.mark.parametrize("name", ["worker-0", "gateway"])
def test_a_hung_child_is_replaced(supervise: Callable[..., Run], name: str) -> None:
    run = supervise(hang_s=1.0)
    run.until_ready()
    ((_, pid),) = run.diary(name, "ready")
    os.kill(pid, signal.SIGSTOP)
    run.until(lambda: len(run.diary(name, "ready")) == 2)
    assert run.replaced() == [f"{name} made no progress for 1 s and was killed"]
    assert not psutil.pid_exists(pid)
    assert run.stop() == 0


def test_a_busy_child_is_replaced_only_after_many_time_outs(supervise: Callable[..., Run]) -> None:
    run = supervise(workers=[{"do": "burn once"}], hang_s=0.4)
    run.until_ready()
    run.until(lambda: len(run.diary("worker-0", "ready")) == 2)
    (first, _), (second, _) = run.diary("worker-0", "ready")
    assert second - first > 6 * 0.4
    assert len(run.replaced()) == 1
    assert run.stop() == 0


def test_a_worker_that_does_not_get_ready_is_replaced(supervise: Callable[..., Run]) -> None:
    run = supervise(workers=[{"do": "load forever"}], gateway={"waits_for": "worker-0"}, load_s=1)
    run.until(lambda: len(run.diary("worker-0", "start")) == 2)
    assert set(run.replaced()) == {"worker-0 was not ready after 1 s"}
    # The gateway can only be ready once a worker is: it is not to blame.
    assert len(run.diary("gateway", "start")) == 1
    run.stop()


def test_being_told_to_stop_while_loading_is_no_failure(supervise: Callable[..., Run]) -> None:
    run = supervise(workers=[{"do": "load forever"}], gateway={"do": "load slowly", "load_s": 1000})
    run.until(lambda: run.diary("gateway", "start") and run.diary("worker-0", "start"))
    began = time.monotonic()
    assert run.stop() == 0
    assert time.monotonic() - began < 4


def test_requests_cut_off_by_the_gateway_make_the_exit_code_one(
    supervise: Callable[..., Run],
) -> None:
    run = supervise(gateway={"exit_code": 1})
    run.until_ready()
    assert run.stop() == 1
    assert run.events[-1] == {"code": 1}


def test_a_worker_that_dies_during_the_drain_is_started_again(
    supervise: Callable[..., Run],
) -> None:
    run = supervise(gateway={"drain_s": 1.5})
    run.until_ready()
    run.process.send_signal(signal.SIGTERM)
    run.until(lambda: run.diary("gateway", "term"))
    os.kill(run.diary("worker-0", "ready")[0][1], signal.SIGKILL)
    assert run.end() == 0
    assert len(run.diary("worker-0", "ready")) == 2


def test_a_gateway_that_ignores_the_deadline_is_cut_off(supervise: Callable[..., Run]) -> None:
    run = supervise(gateway={"do": "deaf"}, drain_s=0.1)
    run.until_ready()
    began = time.monotonic()
    assert run.stop() == 1
    assert (
        time.monotonic() - began < 0.1 + 2.0 + 5.0 + 3.0
    )  # drain, slack, stop, and a busy machine


def test_a_second_interrupt_ends_it_at_once_and_a_second_sigterm_does_not(
    supervise: Callable[..., Run],
) -> None:
    run = supervise(gateway={"drain_s": 60}, drain_s=60)
    run.until_ready()
    run.process.send_signal(signal.SIGINT)
    run.until(lambda: run.diary("gateway", "term"))
    run.process.send_signal(signal.SIGTERM)  # process managers repeat themselves
    time.sleep(0.3)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert run.end() == 1
    assert time.monotonic() - began < 4
