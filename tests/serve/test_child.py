"""One supervised process, a real one: started, read, judged, forgotten."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pilotage.errors import ResourceError
from pilotage.serve.board import Board, State
from pilotage.serve.child import _CERTAINLY_HUNG, Child
from pilotage.serve.config import FATAL_EXIT

PROGRAM = """
import os, sys, time
from pathlib import Path
from pilotage.serve.board import Board, State
folder = Path(sys.argv[1]).parent
board = Board(folder / "board")
what = Path(sys.argv[1]).read_text()
if what == "fails":
    for number in range(100):
        print("line", number, file=sys.stderr)
    sys.exit(7)
if what == "leaves an error":
    (folder / "errors").write_text(sys.stdin.read() or (folder / "error").read_text())
    sys.exit(3)
board.state = State.READY
board.beat()
if what == "burns":
    while True:
        pass
if what == "waits":
    sys.exit(9 if sys.stdin.read() == "" else 1)
while True:
    board.beat()
    time.sleep(0.02)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / "a_child.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    board = Board(tmp_path / "board", create=True)
    child = Child("a child", "a_child", tmp_path / "what", board, tmp_path / "errors")
    yield child
    child.signal(signal.SIGKILL)
    child.forget()


def start(child: Child, what: str) -> None:
    child.config.write_text(what)
    child.start()


def until_ready(child: Child) -> None:
    until_board = time.monotonic() + 20
    while child.board.state is not State.READY:
        assert time.monotonic() < until_board
        assert child.exit_code() is None
        time.sleep(0.005)


def until_gone(child: Child) -> int:
    assert child.process is not None
    return child.process.wait(20)


def test_it_runs_until_told_to_stop(child: Child) -> None:
    assert child.pid is None
    assert child.exit_code() is None
    start(child, "beats")
    until_ready(child)
    pid = child.pid
    assert pid is not None
    assert os.getpgid(pid) == pid  # Ctrl-C in the terminal is the supervisor's to handle
    child.signal(signal.SIGKILL)
    assert until_gone(child) == -signal.SIGKILL
    child.forget()
    child.forget()
    child.signal(signal.SIGTERM)  # nobody there
    assert not psutil.pid_exists(pid)
    assert child.exit_code() is None


def test_its_last_words_are_kept_all_of_them(
    child: Child, capfd: pytest.CaptureFixture[str]
) -> None:
    start(child, "fails")
    assert until_gone(child) == 7
    child.forget()
    assert list(child.lines) == [f"line {number}" for number in range(70, 100)]
    assert "line 0\nline 1\n" in capfd.readouterr().err  # and passed on
    assert child.fatal_error() is None


def test_an_error_it_leaves_arrives_whole(child: Child, tmp_path: Path) -> None:
    error = ResourceError("no room", where="here", hint="Make some")
    (tmp_path / "error").write_text(json.dumps(error.as_dict()))
    start(child, "leaves an error")
    assert child.process is not None
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert until_gone(child) == FATAL_EXIT
    left = child.fatal_error()
    assert isinstance(left, ResourceError)
    assert str(left) == str(error)


@pytest.mark.parametrize("left", [None, "no JSON", '{"type": "'])
def test_an_exit_code_without_a_whole_error_is_a_death_like_any_other(
    child: Child, tmp_path: Path, left: str | None
) -> None:
    (tmp_path / "error").write_text(left or "")
    start(child, "leaves an error")
    assert child.process is not None
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert until_gone(child) == FATAL_EXIT
    assert child.fatal_error() is None


def test_an_old_error_is_not_taken_for_a_new_one(child: Child) -> None:
    child.errors.write_text(json.dumps(ResourceError("old").as_dict()))
    start(child, "beats")
    until_ready(child)
    assert not child.errors.exists()


def test_its_stdin_closes_with_the_supervisor(child: Child) -> None:
    start(child, "waits")
    until_ready(child)
    assert child.exit_code() is None
    assert child.process is not None
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert until_gone(child) == 9


def test_modules_in_the_working_folder_are_not_its_business(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "struct.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(elsewhere)
    start(child, "beats")
    until_ready(child)


def test_the_pause_before_it_starts_again_doubles_up_to_a_bound(child: Child) -> None:
    waits = [child.back_off(100.0) for _ in range(9)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert child.start_again_at == 130.0
    assert (child.failures, child.restarts, child.board.restarts) == (9, 9, 9)


# Hung or busy ---------------------------------------------------------------------------------


def test_a_stopped_process_is_hung_after_the_time_out(child: Child) -> None:
    start(child, "beats")
    until_ready(child)
    assert not child.hung(time.monotonic(), 0.5)
    child.signal(signal.SIGSTOP)
    began = time.monotonic()
    while not child.hung(time.monotonic(), 0.5):
        assert time.monotonic() - began < 10
        time.sleep(0.02)
    assert time.monotonic() - began > 0.4
    child.signal(signal.SIGCONT)


def test_a_busy_process_is_left_alone_for_long_but_not_for_ever(child: Child) -> None:
    start(child, "burns")
    until_ready(child)
    began = time.monotonic()
    while time.monotonic() - began < 2:
        assert not child.hung(time.monotonic(), 1.0)
        time.sleep(0.02)
    assert child.hung(began + _CERTAINLY_HUNG + 3, 1.0)


class Imagined(Child):
    """A child whose CPU time the test says."""

    used_s = 0.0

    def _cpu_s(self) -> float:
        return self.used_s


@pytest.fixture
def imagined(tmp_path: Path) -> Imagined:
    board = Board(tmp_path / "board", create=True)
    return Imagined("a child", "none", tmp_path / "none", board, tmp_path / "errors")


def looks(child: Child, timeout_s: float, start: float, end: float) -> float | None:
    """When, looking ten times a second, it is first found to hang."""
    for tick in range(round(start * 10), round(end * 10) + 1):
        if child.hung(tick / 10, timeout_s):
            return tick / 10
    return None


def test_what_many_cores_used_before_a_dead_lock_does_not_count_for_long(
    imagined: Imagined,
) -> None:
    imagined.board.beat()
    assert looks(imagined, 10.0, 0.0, 1.0) is None
    imagined.used_s += 32.0  # one second of 32 cores, and then nothing more
    found = looks(imagined, 10.0, 1.1, 200.0)
    assert found is not None
    assert 11.0 <= found <= 13.0


def test_little_cpu_time_is_no_work(imagined: Imagined) -> None:
    imagined.board.beat()
    found = None
    for tick in range(300):
        imagined.used_s += 0.001  # 1 %, as of a thread that only waits
        if imagined.hung(tick / 10, 10.0):
            found = tick / 10
            break
    assert found == pytest.approx(10.0, abs=0.2)


def test_a_beat_is_progress_whatever_the_cpu_says(imagined: Imagined) -> None:
    for second in range(100):
        imagined.board.beat()
        assert looks(imagined, 3.0, second, second + 0.9) is None
