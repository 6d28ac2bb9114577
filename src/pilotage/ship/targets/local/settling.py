"""Waiting until what runs on this machine is what is wanted."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import Final

from pilotage.errors import ServeError, StoreError
from pilotage.ship.lifecycle.progress import Note, Say, Step
from pilotage.ship.targets.local.local_logs import last_lines
from pilotage.ship.targets.local.processes import Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.status import anything_runs, has_supervisor, supervised
from pilotage.ship.targets.local.supervisor import LOCK, LOG

_POLL_S: Final = 0.1
_SHOWN_LINES: Final = 12


def is_settled(folder: RunFolder, revision: Revision) -> bool:
    """Whether a revision is wanted, a supervisor lives, and all runs as it says."""
    with suppress(StoreError):  # it is written anew
        return folder.wanted() == revision.id and supervised(folder).get("settled") == revision.id
    return False


def await_settled(folder: RunFolder, revision: Revision, say: Say) -> None:
    """Wait until all runs as the revision says, saying what happens meanwhile.

    Raises:
        ServeError: A process cannot run as the revision says, or it takes too long.
    """
    limit = sum(one.grace_s + one.stop_s for one in revision.processes) + 60.0
    end = time.monotonic() + limit
    said: dict[str, str] = {}
    while not is_settled(folder, revision):
        _ensure_supervisor(folder)
        for name, unit in supervised(folder).get("units", {}).items():
            state = unit["state"]
            if said.get(name) != state and state != "stopped":
                balancer = unit["process"]["role"] == "balancer"
                step: Step = "targets" if balancer else "capacity"
                bad = state == "failing"
                if bad and unit["digest"] != revision.digests.get(name):
                    continue  # what is gone back from fails, which was said
                say(Note(step=step, text=unit["last"] if bad else state, what=name, bad=bad))
            said[name] = state
            if unit["hopeless"] and unit["digest"] == revision.digests.get(name):
                raise _cannot_run(folder, name, unit["last"])
        if time.monotonic() > end:
            raise ServeError(
                f"not everything was ready after {limit:.0f} s",
                where=str(folder.path),
                hint="See pilotage ship logs",
            )
        time.sleep(_POLL_S)


def _cannot_run(folder: RunFolder, name: str, why: str) -> ServeError:
    lines = last_lines(folder.logs / f"{name}.log", _SHOWN_LINES)
    return ServeError(
        f"{name} {why}" + "".join(f"\n  {line}" for line in lines),
        where=str(folder.logs / f"{name}.log"),
        hint="The lines above are the last it wrote",
    )


def take_back(folder: RunFolder, before: str | None, say: Say) -> None:
    """Want what was good before, if anything was, and wait until the failed revision is gone."""
    known = before is not None and (folder.revisions / before).exists()
    text = "going back to the revision before" if known else "stopping what was started"
    say(Note(step="rollback", text=text, bad=True))
    folder.want(before if known else None)
    if known and before is not None:
        await_settled(folder, folder.revision(before), say)
    else:
        await_gone(folder, say)


def await_gone(folder: RunFolder, say: Say) -> None:
    """Wait until nothing of it runs and the supervisor has ended.

    Raises:
        ServeError: Something does not end.
    """
    said: dict[str, str] = {}
    end = None
    while anything_runs(folder) or has_supervisor(folder):
        if anything_runs(folder):
            _ensure_supervisor(folder)  # whatever happened to it: it is who stops things
        units = folder.running().get("units", {})
        if end is None:
            end = time.monotonic() + 60.0 + 2 * sum(u["process"]["stop_s"] for u in units.values())
        for name, unit in units.items():
            if said.get(name) != unit["state"] and unit["state"] in ("stopping", "stopped"):
                said[name] = unit["state"]
                text = "drains" if unit["state"] == "stopping" else "has stopped"
                say(Note(step="scale", text=text, what=name))
        if time.monotonic() > end:
            raise ServeError(
                "not everything has ended",
                where=str(folder.path),
                hint=f"See {folder.logs / LOG}, and destroy again",
            )
        time.sleep(_POLL_S)


def _ensure_supervisor(folder: RunFolder) -> None:
    """Start one if none lives, in a session of its own: it outlives this command."""
    if folder.is_held(LOCK):
        return
    folder.logs.mkdir(parents=True, exist_ok=True)
    with (folder.logs / LOG).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "pilotage.ship.targets.local.supervisor", folder.path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            start_new_session=True,
        )
    for _ in range(300):
        if folder.is_held(LOCK):
            break
        if child.poll() is not None:
            lines = last_lines(folder.logs / LOG, _SHOWN_LINES)
            raise ServeError(
                "the supervisor does not stay" + "".join(f"\n  {line}" for line in lines),
                where=str(folder.logs / LOG),
                hint="The lines above are the last it wrote",
            )
        time.sleep(0.1)
    child.returncode = 0  # it is nobody's child from here on; no warning that it still runs
