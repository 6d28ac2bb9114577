"""One supervised process: started, watched, replaced."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import psutil

from pilotage.errors import PilotageError
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT

_STDERR: Final = 2
_KEPT_LINES: Final = 30
_FIRST_BACKOFF_S: Final = 0.25
_LONGEST_BACKOFF_S: Final = 30.0
_BUSY_SHARE: Final = 0.05
_CERTAINLY_HUNG: Final = 30.0
_SAMPLES: Final = 5
_LAST_LINES_S: Final = 1.0


@dataclass(slots=True)
class Progress:
    """What was last seen of a process's progress.

    Attributes:
        beats: Its beats.
        at: When they last grew.
        busy_at: When it was last seen to beat or to use the CPU.
        sampled_at: When its CPU time was last looked at.
        cpu_s: Its CPU time then.
    """

    beats: int
    at: float
    busy_at: float
    sampled_at: float
    cpu_s: float


@dataclass
class Child:
    """A process of the server: the gateway or a worker.

    Attributes:
        name: How it is called in messages.
        module: Python module it runs.
        config: Path of its config file, its only argument.
        board: Its counters.
        errors: File in which it leaves an error that no restart can mend.
        pass_fds: File descriptors it inherits.
        environment: Its whole environment; this process's own if not given.
        failures: Times in a row that it died before it had proven stable.
        restarts: Times it was replaced altogether.
    """

    name: str
    module: str
    config: Path
    board: Board
    errors: Path
    pass_fds: tuple[int, ...] = ()
    environment: Mapping[str, str] | None = None
    failures: int = 0
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    ready_at: float | None = None
    start_again_at: float = 0.0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    _progress: Progress | None = None
    _relayer: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process is not None else None

    def start(self) -> None:
        """Start it. Its stdin is a pipe nobody writes to: when it closes, the supervisor died."""
        self.board.state = State.STARTING
        self.errors.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            # -P: not with what happens to lie in the folder it is started from
            [sys.executable, "-P", "-m", self.module, str(self.config)],
            stdin=subprocess.PIPE,
            stdout=_STDERR,  # standard output belongs to the verb, which may print JSON there
            stderr=subprocess.PIPE,
            pass_fds=self.pass_fds,
            env=self.environment,
            process_group=0,
        )
        self.started_at = time.monotonic()
        self.ready_at = None
        self._progress = None
        self._relayer = threading.Thread(
            target=self._relay, args=(self.process.stderr,), daemon=True
        )
        self._relayer.start()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def exit_code(self) -> int | None:
        """Its exit code once it has ended, else None."""
        return None if self.process is None else self.process.poll()

    def fatal_error(self) -> PilotageError | None:
        """The error it left, when starting it again would be no use."""
        if self.exit_code() != FATAL_EXIT:
            return None
        try:
            return PilotageError.from_dict(json.loads(self.errors.read_text()))
        except (OSError, ValueError):
            return None

    def forget(self) -> None:
        """Its process is gone; release what belonged to it."""
        if self.process is not None:
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process.wait()
            self.process = None
            self.ready_at = None
        if self._relayer is not None:
            self._relayer.join(_LAST_LINES_S)  # bounded: a grandchild may hold the pipe open
            self._relayer = None

    def back_off(self, now: float) -> float:
        """Count a failure; returns the seconds until it may start again (doubling, bounded)."""
        self.failures += 1
        self.restarts += 1
        self.board.restarts = self.restarts
        wait: float = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (self.failures - 1))
        self.start_again_at = now + wait
        return wait

    def hung(self, now: float, timeout_s: float) -> bool:
        """Whether it has stopped making progress.

        Progress is a beat of its loop. A process that beats no more but uses the CPU is busy
        with a long step and is left alone, up to thirty times the time-out; one that has done
        neither for the time-out is stopped or dead-locked. CPU time is looked at in short spans,
        so that what many cores used just before it stopped does not count for long.
        """
        beats = self.board.beats
        seen = self._progress
        if seen is None or beats != seen.beats:
            self._progress = Progress(beats, now, now, now, self._cpu_s())
            return False
        span = now - seen.sampled_at
        if span >= timeout_s / _SAMPLES:
            cpu_s = self._cpu_s()
            if cpu_s - seen.cpu_s >= _BUSY_SHARE * span:
                seen.busy_at = now
            seen.sampled_at, seen.cpu_s = now, cpu_s
        return now - seen.busy_at >= timeout_s or now - seen.at > _CERTAINLY_HUNG * timeout_s

    def _cpu_s(self) -> float:
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        used: float = times.user + times.system
        return used

    def _relay(self, stream: IO[bytes] | None) -> None:
        """Pass its stderr on and keep the last lines for a crash report."""
        assert stream is not None
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip("\n")
                self.lines.append(line)
                with suppress(OSError, ValueError):
                    sys.stderr.write(line + "\n")
