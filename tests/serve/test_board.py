"""A board is read by another process while its writer is stopped or dead."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from pilotage.serve.board import Board, State

WRITER = """
import sys, time
from pathlib import Path
from pilotage.serve.board import Board, State
board = Board(Path(sys.argv[1]))
board.state = State.READY
for _ in range(3):
    board.beat(stepped=True, running=2, new_tokens=5)
board.beat()
print("written", flush=True)
time.sleep(60)
"""


def test_counters_outlive_their_writer(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board = Board(path, create=True)
    assert (board.state, board.beats) == (State.STARTING, 0)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGSTOP)
        assert (board.state, board.beats, board.steps) == (State.READY, 4, 3)
        writer.kill()
    assert (board.tokens, board.running) == (15, 0)


def test_restarts_are_the_supervisors_to_count(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", create=True)
    board.restarts = 2
    assert Board(tmp_path / "board").restarts == 2


def test_a_beat_tells_the_cpu_time_so_far(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", create=True)
    assert board.cpu_s == 0
    before = time.process_time()
    board.beat()
    assert before - 1e-6 <= board.cpu_s <= time.process_time()
