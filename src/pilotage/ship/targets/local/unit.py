"""One process that a local supervisor keeps up."""

from __future__ import annotations

import http.client
import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.ship.targets.local.processes import Process
from pilotage.ship.targets.local.started import Started, start

TRIES: Final = 3
"""Failures in a row, never ready between, after which a revision counts as one that cannot run."""

_FIRST_BACKOFF_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 30.0
_STABLE_S: Final = 30.0
_ASK_S: Final = 1.0
_ASK_TIMEOUT_S: Final = 2.0
_WRONG_USAGE: Final = 2  # exit code of a spec or flags that cannot work: no try is different
_log = logging.getLogger("pilotage.ship.local")


@dataclass(slots=True)
class Unit:
    """A process, what should run in it, and how that goes.

    Attributes:
        process: What runs, or is to run.
        digest: Of it and its spec.
        folder: Of its revision.
        started: The process; None between two starts.
        ready: Whether it answered 200 the last time it was asked.
        was_ready: Whether it ever did, with this digest.
        failures: Times in a row that it ended or did not get ready.
        restarts: Times that it was started again after a failure.
        last: How it ended the last time, in words.
    """

    process: Process
    digest: str
    folder: Path
    started: Started | None = None
    ready: bool = False
    was_ready: bool = False
    failures: int = 0
    restarts: int = 0
    last: str = ""
    _began: float = 0.0
    _ready_since: float = 0.0
    _asked: float = 0.0
    _start_again: float = 0.0
    _stopping_since: float | None = None

    @property
    def ready_for_s(self) -> float:
        """Seconds since it became ready the last time."""
        return time.monotonic() - self._ready_since

    @property
    def hopeless(self) -> bool:
        """Whether it has failed so often that what it runs must be wrong."""
        return not self.was_ready and self.failures >= TRIES

    @property
    def state(self) -> str:
        """One word for people."""
        if self._stopping_since is not None:
            return "stopping"
        if self.started is None:
            return "failing" if self.failures else "stopped"
        if self.ready:
            return "ready"
        return "not ready" if self.was_ready else "starting"

    def keep_up(self, logs: Path) -> None:
        """Notice an end, start it (again) when it is time, and ask whether it is ready."""
        now = time.monotonic()
        if self.started is None:
            if now >= self._start_again:
                self._start(now, logs)
            return
        if not self.started.alive():
            self._failed(now, _ended(self.started.exit_code()))
        elif now - self._asked >= _ASK_S or not self.ready:
            self._ask(now)

    def stop(self) -> bool:
        """Stop it: SIGTERM, and SIGKILL when its time is over. True once it is gone."""
        now = time.monotonic()
        if self.started is None or not self.started.alive():
            self._forget()
            return True
        if self._stopping_since is None:
            self._stopping_since = now
            self.ready = False
            _log.info("%s: stopping", self.process.name)
            self.started.signal(signal.SIGTERM)
        elif now - self._stopping_since > self.process.stop_s:
            _log.warning("%s: killed after %s s", self.process.name, self.process.stop_s)
            self.started.kill_all()
        return False

    def renew(self, process: Process, digest: str, folder: Path) -> None:
        """Run something else from now on; what ran before is gone."""
        self.process, self.digest, self.folder = process, digest, folder
        self.was_ready, self.failures, self.restarts, self.last = False, 0, 0, ""
        self._start_again = 0.0

    def as_dict(self) -> dict[str, Any]:
        """What the next supervisor, and ``status``, need to know."""
        return {
            "process": self.process.as_dict(),
            "digest": self.digest,
            "folder": str(self.folder),
            "pid": self.started.pid if self.started else None,
            "started_at": self.started.started_at if self.started else None,
            "state": self.state,
            "was_ready": self.was_ready,
            "hopeless": self.hopeless,
            "failures": self.failures,
            "restarts": self.restarts,
            "last": self.last,
        }

    @staticmethod
    def adopt(data: Mapping[str, Any]) -> Unit:
        """The unit that an earlier supervisor wrote down; its process may run on."""
        unit = Unit(Process.from_dict(data["process"]), data["digest"], Path(data["folder"]))
        unit.was_ready, unit.restarts = data["was_ready"], data["restarts"]
        if data["pid"] is not None:
            unit.take(Started(data["pid"], data["started_at"]))
        return unit

    def take(self, started: Started) -> None:
        """Look after a process that runs already, if it does."""
        if started.alive():
            self.started, self._began = started, time.monotonic()

    def _start(self, now: float, logs: Path) -> None:
        self._began, self.ready = now, False
        self.restarts += bool(self.failures)
        try:
            self.started = start(self.process, self.folder, logs)
        except OSError as error:
            self._failed(now, f"could not be started: {error.strerror}")
        else:
            _log.info("%s: started, pid %s", self.process.name, self.started.pid)

    def _ask(self, now: float) -> None:
        assert self.started is not None
        self._asked = now
        before, self.ready = self.ready, answers(self.process.address, self.process.health_path)
        if self.ready and not before:
            self._ready_since = now
            _log.info("%s: ready after %.1f s", self.process.name, now - self._began)
            self.was_ready = True
        elif self.ready and now - self._ready_since > _STABLE_S:
            self.failures = 0
        elif (
            not self.ready
            and self._ready_since < self._began
            and now - self._began > self.process.grace_s
        ):
            self.started.kill_all()
            self._failed(now, f"was not ready after {self.process.grace_s} s and was killed")

    def _failed(self, now: float, why: str) -> None:
        self._forget()
        self.failures += 1 if f"code {_WRONG_USAGE}" not in why else TRIES
        self.last = why
        wait = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(self.failures - 1, 10))
        self._start_again = now + wait
        _log.warning("%s: %s; again in %.2g s", self.process.name, why, wait)

    def _forget(self) -> None:
        self.started, self.ready, self._stopping_since = None, False, None


def answers(address: str, path: str) -> bool:
    """Whether a GET there is answered with 200."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ASK_TIMEOUT_S
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ended(code: int | None) -> str:
    if code is None:
        return "ended"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
