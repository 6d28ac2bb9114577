"""The supervisor of a local deployment: ``python -m pilotage.ship.targets.local.supervisor DIR``.

It lives in a session of its own and does one thing: ten times a second it compares what runs with
what is wanted (`RunFolder.wanted`) and takes one step towards it. So whoever changes what is wanted
may be killed at any moment, and so may the supervisor: the next one finds its processes by what was
written down, or by their command lines, and goes on.

- A process that ends is started again, after a pause that doubles with each failure in a row.
- A new revision replaces one replica at a time, those that are not ready first, and goes on only
  when it is ready and the balancer asks it again; then the balancer, if it changed. A revision that
  cannot run stops at its first replica, and the others stay as they are.
- Nothing wanted, or SIGTERM: the balancer drains, then the replicas; then it ends.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psutil

from pilotage.errors import PilotageError
from pilotage.serve.telemetry.logs import configure
from pilotage.ship.targets.local.processes import Process, Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.started import strays
from pilotage.ship.targets.local.unit import Unit
from pilotage.ship.targets.local.uptake import Uptake

LOCK: Final = "supervisor.lock"
LOG: Final = "supervisor.log"

_TICK_S: Final = 0.1
_LOCK_TRIES: Final = 30
_LARGEST_LOG: Final = 64 << 20
_log = logging.getLogger("pilotage.ship.local")


class Supervisor:
    """Keeps the processes of one run folder as they are wanted.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._units: dict[str, Unit] = {}
        self._revision: Revision | None = None
        self._settled: str | None = None
        self._good: str | None = None
        self._ending = False
        self._uptake = Uptake()
        self._waits: str | None = None
        self._written: dict[str, Any] = {}
        self._since = time.time()

    def run(self) -> None:
        """Supervise until nothing is wanted, or SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._adopt()
        self._write()
        while True:
            wanted = None if self._ending else self._folder.wanted()
            if wanted is None:
                self._settled = None
                if not self._ending:
                    self._good = None  # nothing is gone back to after a destroy
                if self._stop():
                    break
            else:
                self._approach(wanted)
            self._write()
            self._shorten_logs()
            time.sleep(_TICK_S)
        self._write()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _adopt(self) -> None:
        """Take over what an earlier supervisor has left."""
        before = self._folder.running()
        self._good = before.get("good")
        if before.get("units"):
            self._since = before["since"]
        for name, data in before.get("units", {}).items():
            self._units[name] = Unit.adopt(data)
        known = {one.started.pid for one in self._units.values() if one.started}
        for spec, started in strays(self._folder.revisions):
            if started.pid in known:
                continue
            unit = self._unit_of(spec)
            known_unit = None if unit is None else self._units.get(unit.process.name)
            if unit is None or (known_unit is not None and known_unit.started is not None):
                _log.warning("pid %s serves %s, which is not known; killed", started.pid, spec)
                started.kill_all()
                continue
            unit.take(started)
            self._units[unit.process.name] = unit

    def _unit_of(self, spec: Path) -> Unit | None:
        """What serves the spec, as its revision says."""
        try:
            revision = Revision.read(spec.parent)
        except PilotageError:
            return None
        for process in revision.processes:
            if process.spec == spec.name:
                return Unit(process, revision.digests[process.name], spec.parent)
        return None

    def _approach(self, wanted: str) -> None:
        """One step towards a revision."""
        if self._revision is None or self._revision.id != wanted:
            self._revision = self._folder.revision(wanted)
            self._settled = None
            _log.info("revision %s is wanted", wanted)
        if self._roll(self._revision) and self._settled != wanted:
            self._settled = self._good = wanted
            self._folder.forget_others(wanted)
            _log.info("revision %s runs", wanted)

    def _roll(self, revision: Revision) -> bool:
        """One step; True if all runs as the revision says."""
        leaving = [unit for unit in self._units.values() if unit.state == "stopping"]
        for unit in self._units.values():
            if unit not in leaving:
                unit.keep_up(self._folder.logs)
        for role in ("replica", "balancer"):
            here = [one for one in revision.processes if one.role == role]
            if not self._roll_some(here, revision):
                return False
        extra = [name for name in self._units if name not in revision.digests]
        for name in extra:
            if self._units[name].stop():
                del self._units[name]
        return not extra

    def _roll_some(self, processes: Sequence[Process], revision: Revision) -> bool:
        place = self._folder.revisions / revision.id
        outdated = []
        for process in processes:
            digest = revision.digests[process.name]
            unit = self._units.get(process.name)
            if unit is None:
                self._units[process.name] = Unit(process, digest, place)
                return False
            if unit.digest != digest:
                outdated.append((unit.ready, process, digest, unit))
                continue
            unit.folder = place  # the same files; the older revision's go when all is settled
            if unit.state == "stopping":  # it was to go, and is wanted again
                unit.stop()
                return False
            if not unit.ready:
                return False
        if not outdated:
            return True
        ready, process, digest, unit = min(outdated, key=lambda one: one[0])
        if ready and process.role == "replica" and not self._may_go(unit, revision):
            return False
        if unit.stop():
            unit.renew(process, digest, place)
        return False

    def _may_go(self, leaving: Unit, revision: Revision) -> bool:
        """Whether the other replicas carry on alone: ready, and asked by the balancer."""
        balancer = self._units.get("balancer")
        if balancer is None or not balancer.ready:
            return True
        names = [one.name for one in revision.processes if one.role == "replica"]
        others = {
            number: self._units[name]
            for number, name in enumerate(names)
            if name in self._units and self._units[name] is not leaving and self._units[name].ready
        }
        if not others:
            return True
        youngest = min(one.ready_for_s for one in others.values())
        went = self._uptake.complete(balancer.process.address, frozenset(others), youngest)
        waits = None if went else leaving.process.name
        if waits is not None and waits != self._waits:
            _log.info("%s: goes once the balancer asks the others again", waits)
        self._waits = waits
        return went

    def _stop(self) -> bool:
        """One step towards nothing; True once nothing runs."""
        for role in ("balancer", "replica"):
            here = [one for one in self._units.values() if one.process.role == role]
            gone = [one.stop() for one in here]  # all of them at the same time
            if not all(gone):
                return False
        self._units.clear()
        return True

    def _write(self) -> None:
        data = {
            "pid": os.getpid(),
            "started_at": psutil.Process().create_time(),
            "since": self._since,
            "settled": self._settled,
            "good": self._good,
            "units": {name: unit.as_dict() for name, unit in self._units.items()},
        }
        if data != self._written:
            self._folder.write_running(data)
            self._written = data

    def _shorten_logs(self) -> None:
        """Keep the last of a log that has grown large; its writer appends, and goes on doing so."""
        for path in self._folder.logs.glob("*.log"):
            if path.stat().st_size > _LARGEST_LOG:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)


def main(arguments: Sequence[str]) -> int:
    """Supervise the run folder that is named."""
    folder = RunFolder(Path(arguments[0]))
    configure("json", "info")
    for _ in range(_LOCK_TRIES):  # status holds it for a moment to see whether it is held
        with folder.locked(LOCK) as got:
            if got:
                _log.info("supervisor: started, pid %s", os.getpid())
                Supervisor(folder).run()
                _log.info("supervisor: ended")
                return 0
        time.sleep(_TICK_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
