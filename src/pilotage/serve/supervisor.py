"""The supervisor: starts gateway and workers, replaces what dies or hangs, drains, reports.

It imports nothing heavy and does nothing clever: ten times a second it looks at each child's
exit code and board. What it decides:

- a child that died is started again, after a pause that doubles with each failure in a row;
- a child that makes no progress is killed and replaced, see `Child.hung`;
- a child that failed five times in a row, or left an error that no restart can mend, ends the
  server with a report;
- on SIGTERM or SIGINT the gateway drains while the workers go on, then all stop. A second
  Ctrl-C ends it at once (a second SIGTERM does not: process managers like to send several).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from pilotage.errors import ServeError
from pilotage.serve.board import State
from pilotage.serve.child import Child

if TYPE_CHECKING:
    from types import FrameType

MAX_FAILURES: Final = 5
"""Failures in a row after which the supervisor gives up."""

_TICK_S: Final = 0.1
_STABLE_S: Final = 30.0
_STOP_S: Final = 5.0
_DRAIN_SLACK_S: Final = 2.0
_log = logging.getLogger("pilotage.supervisor")


class Event(Enum):
    """What the supervisor tells its caller about."""

    READY = auto()
    REPLACED = auto()
    DRAINING = auto()
    CUT_OFF = auto()


class Supervisor:
    """Runs one gateway and its workers until told to stop.

    Args:
        gateway: The gateway.
        workers: The workers.
        drain_timeout_s: Time that running requests get when the server stops.
        load_timeout_s: Time a worker may take to become ready.
        hang_timeout_s: Time without progress after which a worker is replaced.
        notify: Told of events, with a sentence.
    """

    def __init__(
        self,
        gateway: Child,
        workers: Sequence[Child],
        *,
        drain_timeout_s: float,
        load_timeout_s: float,
        hang_timeout_s: float,
        notify: Callable[[Event, str], None],
    ) -> None:
        self._gateway = gateway
        self._workers = tuple(workers)
        self._drain_timeout_s = drain_timeout_s
        self._load_timeout_s = load_timeout_s
        self._hang_timeout_s = hang_timeout_s
        self._notify = notify
        self._stopping = False
        self._at_once = False
        self._announced = False

    def run(self) -> int:
        """Serve until stopped.

        Returns:
            0 when every request in flight was finished before the drain deadline (or nothing was
            served yet), else 1.

        Raises:
            PilotageError: A child cannot run, and starting it again would not help.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            for child in self._children():
                child.start()
            while not self._stopping:
                self._look_after_all()
                time.sleep(_TICK_S)
            return self._drain()
        finally:
            self._kill_all()

    def _children(self) -> tuple[Child, ...]:
        return (self._gateway, *self._workers)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._at_once |= self._stopping and number == signal.SIGINT
        self._stopping = True

    def _look_after_all(self) -> None:
        for child in self._children():
            self._look_after(child)
        ready = all(child.ready_at is not None for child in self._children())
        if ready and not self._announced:
            self._announced = True
            self._notify(Event.READY, "ready")

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_again_at:
                child.start()
            return
        if child.exit_code() is not None:
            self._replace(child, now, _died(child))
        elif child.board.state is State.READY:
            if child.ready_at is None:
                child.ready_at = now
                if child.restarts:
                    _log.info("%s is ready again", child.name)
            elif now - child.ready_at > _STABLE_S:
                child.failures = 0
            if child.hung(now, self._hang_timeout_s):
                child.signal(signal.SIGKILL)
                self._replace(
                    child, now, f"made no progress for {self._hang_timeout_s:g} s and was killed"
                )
        elif now - self._loading_since(child, now) > self._load_timeout_s:
            child.signal(signal.SIGKILL)
            self._replace(child, now, f"was not ready after {self._load_timeout_s:g} s")

    def _loading_since(self, child: Child, now: float) -> float:
        """When a child could begin to get ready; the gateway can once all workers are."""
        if child is not self._gateway:
            return child.started_at
        ready = [worker.ready_at for worker in self._workers if worker.ready_at is not None]
        if len(ready) < len(self._workers):
            return now
        return max(child.started_at, max(ready, default=now))

    def _replace(self, child: Child, now: float, why: str) -> None:
        error = child.fatal_error()
        child.forget()
        if error is not None:
            raise error
        wait = child.back_off(now)
        if child.failures >= MAX_FAILURES:
            raise ServeError(
                f"{child.name} failed {child.failures} times in a row; the last time it {why}"
                + "".join(f"\n  {line}" for line in child.lines),
                hint="The lines above are the last it wrote",
            )
        _log.warning("%s %s; starting it again in %.2g s", child.name, why, wait)
        self._notify(Event.REPLACED, f"{child.name} {why}")

    def _drain(self) -> int:
        """Let the gateway finish what is in flight, then stop everything."""
        self._notify(Event.DRAINING, f"finishing what is in flight ({self._drain_timeout_s:g} s)")
        self._gateway.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_timeout_s + _DRAIN_SLACK_S
        while not self._at_once and time.monotonic() < deadline:
            if self._gateway.process is None or self._gateway.exit_code() is not None:
                break
            for worker in self._workers:
                self._look_after(worker)
            time.sleep(_TICK_S)
        drained = self._gateway.ready_at is None or self._gateway.exit_code() == 0
        for child in self._children():
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while not self._at_once and time.monotonic() < deadline and self._any_alive():
            time.sleep(_TICK_S / 2)
        return 0 if drained else 1

    def _any_alive(self) -> bool:
        return any(c.process is not None and c.exit_code() is None for c in self._children())

    def _kill_all(self) -> None:
        for child in self._children():
            if child.exit_code() is None:
                child.signal(signal.SIGKILL)
            with suppress(OSError):
                child.forget()


def _died(child: Child) -> str:
    code = child.exit_code()
    assert code is not None
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if code == -signal.SIGKILL and os.name == "posix":
        return f"was killed by {name} (out of memory, or by hand)"
    return f"was killed by {name}"
