"""A local deployment from rendered to running, and away again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pilotage.errors import ResourceError, ServeError, TargetError
from pilotage.fetch import fetch
from pilotage.serve.routing.served import served_specs
from pilotage.ship.lifecycle.asking import Endpoint, HttpEndpoint, await_answer
from pilotage.ship.lifecycle.cloudformation import Options
from pilotage.ship.lifecycle.difference import Difference
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, LogLine, Status
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.local.difference import difference_of
from pilotage.ship.targets.local.leftovers import leftovers_of
from pilotage.ship.targets.local.local_logs import read_logs
from pilotage.ship.targets.local.place import run_folder
from pilotage.ship.targets.local.ports import check_ports
from pilotage.ship.targets.local.processes import Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.settling import await_gone, await_settled, is_settled, take_back
from pilotage.ship.targets.local.status import status_of
from pilotage.ship.targets.local.supervisor import LOCK
from pilotage.ship.targets.local.target import balancer_address
from pilotage.units import format_size

APPLY_LOCK: Final = "apply.lock"
_ANSWER: Final = Waiting(poll_s=0.5, limit_s=120.0)


@dataclass(frozen=True, slots=True)
class LocalLifecycle:
    """The `Lifecycle` of the target ``local``.

    What should run is one file, and a supervisor makes it so: each method may be killed at any
    moment and called again. Only processes that the supervisor started are ever touched, known by
    process id and start time.

    Attributes:
        options: As the user gave them.
    """

    options: Options = field(default_factory=Options)

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
            TargetError: All is ready, and no completion comes.
        """
        folder, revision = run_folder(shipment), Revision.of(rendered.files)
        difference = difference_of(folder, revision)
        nothing_to_do = difference.empty and is_settled(folder, revision)
        if not nothing_to_do and not difference.empty and not agree(difference):
            return Applied(difference=difference, applied=False, agreed=False)
        with folder.locked(APPLY_LOCK) as got:
            _require(got, folder)
            if not nothing_to_do:
                check_ports(folder, revision)
                _fetch(shipment, say)
                before = folder.running().get("good")
                folder.keep(revision)
                folder.want(revision.id)
                try:
                    await_settled(folder, revision, say)
                except ServeError:
                    # What was good before is tried on and on; there is nothing better to go to.
                    if not self.options.keep and before != revision.id:
                        take_back(folder, before, say)
                    raise
            answered = False
            if self.options.completion:
                await_answer(
                    self._endpoint(shipment),
                    shipment.deployment.model_name,
                    say=say,
                    waiting=_ANSWER,
                )
                answered = True
        return Applied(
            difference=difference,
            applied=not nothing_to_do,
            status=status_of(folder, shipment),
            answered=answered,
        )

    def status(self, shipment: Shipment) -> Status:
        """What really runs: processes by id and start time, asked whether they are ready."""
        return status_of(run_folder(shipment), shipment)

    def endpoint(self, shipment: Shipment) -> Endpoint:
        """The balancer; see `HasEndpoint.endpoint`."""
        if status_of(run_folder(shipment), shipment).absent:
            raise TargetError(
                "is not there",
                where=shipment.name,
                hint="Apply it first: pilotage ship apply SPEC --target local",
            )
        return self._endpoint(shipment)

    def weights(self, shipment: Shipment) -> tuple[str, ...]:
        """The weights on this machine; see `HasWeights.weights`."""
        return tuple(
            f"this machine: {format_size(one.size_bytes or 0, digits=3)} of {one.id}"
            for one in leftovers_of(shipment, run_folder(shipment))
            if one.type == "weights"
        ) or ("used where they lie, outside the cache",)

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
            await_gone(folder, say)
            say(Note(step="delete", text="removing its specs and logs", what=str(folder.path)))
            _remove(folder, ledgers=self.options.purge)
        return Destroyed(
            name=shipment.name,
            leftovers=leftovers_of(shipment, folder),
            hours=None if since is None else max(0.0, time.time() - since.timestamp()) / 3600,
        )

    def _endpoint(self, shipment: Shipment) -> Endpoint:
        return HttpEndpoint(
            address=self.options.address or balancer_address(shipment), key=self.options.key
        )


def _require(got: bool, folder: RunFolder) -> None:
    if not got:
        raise ResourceError(
            "another apply or destroy of this deployment is at work",
            where=str(folder.path),
            hint="Wait for it, or stop it: it can be interrupted",
        )


def _fetch(shipment: Shipment, say: Say) -> None:
    """Have the weights here once, before any replica wants them."""
    for model in served_specs(shipment.deployment):
        fetched = fetch(model.source, sha256=model.sha256, revision=model.revision)
        text = "is here" if fetched.from_cache else "was fetched"
        say(Note(step="check", text=text, what=model.name))


def _remove(folder: RunFolder, *, ledgers: bool) -> None:
    """Remove what was made, ``wanted.json`` last: until then it counts as there."""
    for name in ("revisions", "logs"):
        shutil.rmtree(folder.path / name, ignore_errors=True)
    gone = ["running.json", ".*", *(["*ledger.sqlite*"] if ledgers else ())]
    for path in [path for pattern in gone for path in folder.path.glob(pattern)]:
        path.unlink(missing_ok=True)
    (folder.path / LOCK).unlink(missing_ok=True)
    (folder.path / "wanted.json").unlink(missing_ok=True)
    (folder.path / APPLY_LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # a ledger is left, and listed
        folder.path.rmdir()
