"""The engine's server as a process group: started, its log captured, ended with all it started."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final

import psutil

from pilotage.engines.external.command import Command

_KEPT_LINES: Final = 30
_LONGEST_LINE: Final = 8192
_LAST_LINES_S: Final = 1.0
_LEVEL: Final = re.compile(r"\b(ERROR|CRITICAL|Traceback|WARNING)\b|^[\d.]+ ([EW]) ")
_log = logging.getLogger("pilotage.engine")


class EngineProcess:
    """One life of an engine's server.

    Args:
        command: What starts it.
        name: The engine's name, for the log.
        level: The level at which its ordinary lines are logged at the moment.
    """

    def __init__(self, command: Command, name: str, level: Callable[[], int]) -> None:
        self._name = name
        self._level = level
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pilotage.serve.external.leash", *command.argv],
            env=dict(command.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._relay, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """The leader of its process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Its exit code once it has ended; 128 and the number of the signal that ended it."""
        return self._process.poll()

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used."""
        used = 0.0
        with suppress(psutil.Error):
            leash = psutil.Process(self.pid)
            for process in (leash, *leash.children(recursive=True)):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    used += times.user + times.system
        return used

    def end(self, patience_s: float) -> None:
        """Ask it to end, wait so long, then kill the whole group."""
        if patience_s > 0 and self.exit_code() is None:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + patience_s
            while self.exit_code() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        # Also when it has ended by itself: it may have left processes behind.
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._reader.join(_LAST_LINES_S)  # bounded: something may hold the pipe open

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _relay(self, stream: IO[bytes]) -> None:
        """Log its lines, and keep the last ones for whoever asks why it ended."""
        with stream:
            while raw := stream.readline(_LONGEST_LINE):
                line = raw.decode(errors="replace").rstrip()
                if not line:
                    continue
                self.lines.append(line)
                severe = _LEVEL.search(line) is not None
                _log.log(
                    logging.WARNING if severe else self._level(),
                    "%s",
                    line,
                    extra={"engine": self._name},
                )
