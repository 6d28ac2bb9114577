"""A local deployment from rendered to running, and away again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pilotage.errors import ResourceError, ServeError, UsageError
from pilotage.fetch import fetch
from pilotage.serve.routing.served import served_specs
from pilotage.ship.lifecycle.asking import HttpEndpoint, await_answer
from pilotage.ship.lifecycle.difference import Difference
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, LogLine, Status
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.local.difference import difference_of
from pilotage.ship.targets.local.leftovers import leftovers_of
from pilotage.ship.targets.local.local_logs import last_lines, read_logs
from pilotage.ship.targets.local.place import run_folder
from pilotage.ship.targets.local.processes import Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.specs import asked_for
from pilotage.ship.targets.local.status import alive_units, anything_runs, status_of, supervised
from pilotage.ship.targets.local.supervisor import LOCK, LOG
from pilotage.ship.targets.local.target import balancer_address

APPLY_LOCK: Final = "apply.lock"
KEY_VARIABLE: Final = "PILOTAGE_API_KEY"
_POLL_S: Final = 0.2
_SHOWN_LINES: Final = 12


class LocalLifecycle:
    """The `Lifecycle` of the target ``local``.

    What should run is one file, and a supervisor makes it so: each method may be killed at any
    moment and called again. Only processes that the supervisor started are ever touched, known by
    process id and start time.
    """

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """What applying would start, replace and stop; see `Lifecycle.diff`."""
        return difference_of(run_folder(shipment), Revision.of(rendered.files))

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """Fetch once, start replica by replica, then the balancer, and ask the model something.

        A new revision that cannot run is taken back: the one before it goes on, or nothing.

        Raises:
            ResourceError: A port is taken, or another ``apply`` or ``destroy`` is at work.
            SourceError: The model cannot be had.
            ServeError: A process does not get ready; says what it wrote.
        """
        folder, revision = run_folder(shipment), Revision.of(rendered.files)
        difference = difference_of(folder, revision)
        nothing_to_do = difference.empty and _settled(folder, revision)
        if not nothing_to_do and not difference.empty and not agree(difference):
            return Applied(difference=difference, applied=False, agreed=False)
        with folder.locked(APPLY_LOCK) as got:
            _require(got, folder)
            if not nothing_to_do:
                _check_ports(folder, revision)
                _fetch(shipment, say)
                before = folder.running().get("good")
                folder.keep(revision)
                folder.want(revision.id)
                try:
                    _await_settled(folder, revision, say)
                except ServeError:
                    _take_back(folder, before if before != revision.id else None, say)
                    raise
            answered = _await_answer(shipment, say)
        return Applied(
            difference=difference,
            applied=not nothing_to_do,
            status=status_of(folder, shipment),
            answered=answered,
        )

    def status(self, shipment: Shipment) -> Status:
        """What really runs: processes by id and start time, asked whether they are ready."""
        return status_of(run_folder(shipment), shipment)

    def logs(
        self, shipment: Shipment, *, since_s: float, most: int, follow: bool
    ) -> Iterator[LogLine]:
        """What replicas, balancer and supervisor wrote; see `HasLogs.logs`."""
        return read_logs(run_folder(shipment).logs, since_s=since_s, most=most, follow=follow)

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """Drain the balancer, then the replicas, and remove what was made.

        Raises:
            ResourceError: Another ``apply`` or ``destroy`` is at work.
            ServeError: The supervisor does not come up, or something does not end.
        """
        folder = run_folder(shipment)
        status = status_of(folder, shipment)
        if status.absent:
            return Destroyed(
                name=shipment.name, existed=False, leftovers=leftovers_of(shipment, folder)
            )
        if not agree(status):
            return Destroyed(name=shipment.name, agreed=False)
        since = status.since
        with folder.locked(APPLY_LOCK) as got:
            _require(got, folder)
            folder.want(None)
            _await_gone(folder, say)
            say(Note(step="delete", text="removing its specs and logs", what=str(folder.path)))
            _remove(folder)
        return Destroyed(
            name=shipment.name,
            leftovers=leftovers_of(shipment, folder),
            hours=None if since is None else max(0.0, time.time() - since.timestamp()) / 3600,
        )


def _require(got: bool, folder: RunFolder) -> None:
    if not got:
        raise ResourceError(
            "another apply or destroy of this deployment is at work",
            where=str(folder.path),
            hint="Wait for it, or stop it: it can be interrupted",
        )


def _settled(folder: RunFolder, revision: Revision) -> bool:
    return folder.wanted() == revision.id and supervised(folder).get("settled") == revision.id


def _check_ports(folder: RunFolder, revision: Revision) -> None:
    """See to it that what is started can listen: a taken port is known before anything is."""
    ours = {unit["process"]["address"] for unit in alive_units(folder).values()}
    for process in revision.processes:
        if process.address in ours:
            continue
        parts = urlsplit(process.address)
        host = parts.hostname or ""
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, parts.port or 0))
            except OSError as error:
                raise ResourceError(
                    f"{process.name} cannot listen there: {(error.strerror or '').lower()}",
                    where=f"{host}:{parts.port}",
                    hint="Choose another serving.port; the replicas take the ports after it",
                ) from None


def _fetch(shipment: Shipment, say: Say) -> None:
    """Have the weights here once, before any replica wants them."""
    for model in served_specs(shipment.deployment):
        fetched = fetch(model.source, sha256=model.sha256, revision=model.revision)
        say(
            Note(
                step="check",
                text="weights are here" if fetched.from_cache else "weights were fetched",
                what=model.name,
                state=str(fetched.path),
            )
        )


def _await_settled(folder: RunFolder, revision: Revision, say: Say) -> None:
    """Wait until all runs as the revision says, saying what happens meanwhile."""
    limit = sum(one.grace_s + one.stop_s for one in revision.processes) + 60.0
    end = time.monotonic() + limit
    said: dict[str, str] = {}
    while not _settled(folder, revision):
        _ensure_supervisor(folder)
        for name, unit in supervised(folder).get("units", {}).items():
            state = unit["state"]
            bad = state == "failing"
            if said.get(name) != state:
                said[name] = state
                step = "targets" if unit["process"]["role"] == "balancer" else "capacity"
                text = f"{name} {unit['last'] if bad else f'is {state}'}"
                say(Note(step=step, text=text, what=name, state=state, bad=bad))  # type: ignore[arg-type]
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


def _take_back(folder: RunFolder, before: str | None, say: Say) -> None:
    """Want what was wanted before, and wait until the failed revision is gone."""
    known = before is not None and (folder.revisions / before).exists()
    text = "going back to the revision before" if known else "stopping what was started"
    say(Note(step="rollback", text=text, bad=True))
    folder.want(before if known else None)
    if known and before is not None:
        _await_settled(folder, folder.revision(before), say)
    else:
        _await_gone(folder, say)


def _await_gone(folder: RunFolder, say: Say) -> None:
    """Wait until nothing of it runs and the supervisor has ended."""
    said: dict[str, str] = {}
    end = None
    while anything_runs(folder) or folder.is_held(LOCK):
        if anything_runs(folder):
            _ensure_supervisor(folder)  # whatever happened to it: it is who stops things
        units = folder.running().get("units", {})
        if end is None:
            end = time.monotonic() + 60.0 + 2 * sum(u["process"]["stop_s"] for u in units.values())
        for name, unit in units.items():
            if said.get(name) != unit["state"] and unit["state"] in ("stopping", "stopped"):
                said[name] = unit["state"]
                text = f"{name} {'drains' if unit['state'] == 'stopping' else 'has stopped'}"
                say(Note(step="scale", text=text, what=name, state=unit["state"]))
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


def _await_answer(shipment: Shipment, say: Say) -> bool:
    endpoint = HttpEndpoint(
        address=balancer_address(shipment), key=os.environ.get(KEY_VARIABLE, "").strip() or None
    )
    waiting = Waiting(poll_s=0.5, limit_s=120.0)
    try:
        await_answer(endpoint, asked_for(shipment), say=say, waiting=waiting)
    except UsageError as error:
        say(Note(step="completion", text=str(error), what=endpoint.address, bad=True))
        return False
    return True


def _remove(folder: RunFolder) -> None:
    """Remove what was made, ``wanted.json`` last: until then it counts as there."""
    for name in ("revisions", "logs"):
        shutil.rmtree(folder.path / name, ignore_errors=True)
    for path in [*folder.path.glob("running.json"), *folder.path.glob(".*")]:
        path.unlink(missing_ok=True)
    (folder.path / LOCK).unlink(missing_ok=True)
    (folder.path / "wanted.json").unlink(missing_ok=True)
    (folder.path / APPLY_LOCK).unlink(missing_ok=True)
    _remove_if_empty(folder.path)


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # the ledger stays, and is listed
