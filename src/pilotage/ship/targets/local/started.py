"""A process that a supervisor started, this one or one before it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from pilotage.ship.targets.local.processes import Process

_SAME_START_S: Final = 2.0
"""Start times that differ by less are one: they are computed from the clock at boot, which moves
when the clock is set."""


@dataclass(slots=True)
class Started:
    """A process that runs, or has just ended.

    Attributes:
        pid: Its process id.
        started_at: When it started, Unix seconds: a process id alone may be another's by now.
        child: Set if it is a child of this process, which then learns its exit code.
    """

    pid: int
    started_at: float
    child: subprocess.Popen[bytes] | None = None

    def alive(self) -> bool:
        """Whether that very process still runs."""
        if self.child is not None:
            return self.child.poll() is None
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.started_at) < _SAME_START_S
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, and if another supervisor started it."""
        return None if self.child is None else self.child.poll()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_all(self) -> None:
        """Kill it and all that it started: workers would only notice that it is gone."""
        if not self.alive():
            return
        with suppress(psutil.Error):
            for one in [*psutil.Process(self.pid).children(recursive=True)]:
                with suppress(psutil.Error):
                    one.kill()
        self.signal(9)


def start(process: Process, folder: Path, logs: Path) -> Started:
    """Start a process in a session of its own, writing to its log.

    Args:
        process: Which.
        folder: Of its revision; it reads its spec there.
        logs: Where its log is.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / process.log).open("ab") as log:
        child = subprocess.Popen(
            command_of(process, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.parent.parent,
            env={**os.environ, **process.environment},
            start_new_session=True,
        )
    try:
        began = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:  # it has ended already; nobody else can have its id before poll
        began = 0.0
    return Started(child.pid, began, child)


def command_of(process: Process, folder: Path) -> list[str]:
    """What is executed: this very Pilotage; `strays` looks for the whole path of the spec."""
    rest = [str(folder / one) if one == process.spec else one for one in process.argv[1:]]
    # -P: not with what happens to lie in the folder it is started from
    return [sys.executable, "-P", "-m", "pilotage.cli.main", *rest]


def strays(revisions: Path) -> Iterator[tuple[Path, Started]]:
    """Every process that serves a spec below ``revisions``, with that spec's path.

    A supervisor that is killed between starting a process and writing it down leaves one that
    only its command line tells of.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real != os.getuid():
                continue
            words = process.cmdline()
            if "pilotage.cli.main" not in words:
                continue
            for word in words:
                if word.startswith(f"{revisions}{os.sep}"):
                    yield Path(word), Started(process.pid, process.create_time())
                    break
