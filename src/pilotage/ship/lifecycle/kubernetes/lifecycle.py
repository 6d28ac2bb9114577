"""Diff, apply, status, logs and destroy of Kubernetes manifests.

The cluster's own server decides what changes (server-side apply, ``--dry-run=server``); objects
that lack our label are never taken over, and what is no longer rendered is removed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pilotage.errors import PilotageError, ServeError, TargetError
from pilotage.ship.lifecycle.asking import HttpEndpoint, UnreachableError, await_answer
from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.lifecycle.kubernetes.kubectl import Kubectl
from pilotage.ship.lifecycle.kubernetes.logs import read_logs
from pilotage.ship.lifecycle.kubernetes.objects import (
    AUTOSCALERS,
    KEPT,
    Object,
    check_ours,
    differing,
    in_order,
    kinds_of_ours,
    leftover,
    manifests,
    named,
    owned,
    selector,
)
from pilotage.ship.lifecycle.kubernetes.preflight import check_kinds, check_secrets
from pilotage.ship.lifecycle.kubernetes.rollout import (
    KSERVE,
    WORKLOADS,
    await_rollout,
    status_of,
)
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.options import Options
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, LogLine, Status
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.target import Rendered, Shipment


@dataclass(frozen=True, slots=True)
class _Step:
    """Rendered objects against what is there.

    Attributes:
        difference: In words.
        before: What is there of them, by name; None where it is not.
        gone: What is there, ours, and no longer rendered.
    """

    difference: Difference
    before: dict[str, dict[str, Any] | None]
    gone: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class KubernetesLifecycle:
    """See `Lifecycle`.

    Attributes:
        options: As the user gave them.
        kubectl: The command.
    """

    options: Options
    kubectl: str = "kubectl"

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """See `Lifecycle.diff`."""
        return self._step(shipment, manifests(rendered)).difference

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """See `Lifecycle.apply`. What fails is put back as it was, or deleted where it is new."""
        wanted = manifests(rendered)
        step = self._step(shipment, wanted)
        kubectl = self._cluster(shipment)
        check_secrets(kubectl, wanted)
        difference = step.difference
        if not difference.empty and not agree(difference):
            return Applied(difference=difference, applied=False, agreed=False)
        # Two autoscalers of one Deployment pull at it: the old one goes first.
        first = [one for one in step.gone if one["kind"] in AUTOSCALERS]
        self._remove(kubectl, first, say=say)
        for one in wanted:
            kubectl.apply(one)
            say(Note(step="change", text="is applied", what=named(one)))
        try:
            for one in wanted:
                if one["kind"] in WORKLOADS:
                    await_rollout(kubectl, shipment, one, say=say, waiting=self.options.waiting)
            answered = self._ask(shipment, say=say)
        except (ServeError, TargetError) as error:
            for line in _last_lines(kubectl, shipment):
                say(Note(step="capacity", text=line.text, what=line.stream, bad=True))
            # What cannot be reached from here may be well, and what was not changed is not worse.
            if not self.options.keep and not isinstance(error, UnreachableError):
                self._put_back(kubectl, step, first, say=say)
            raise
        self._remove(kubectl, [one for one in step.gone if one not in first], say=say)
        return Applied(
            difference=difference,
            applied=not difference.empty,
            status=self.status(shipment),
            answered=answered,
        )

    def status(self, shipment: Shipment) -> Status:
        """See `Lifecycle.status`."""
        kubectl = self._cluster(shipment)
        known = kubectl.kinds()
        kinds = ",".join(known[kind] for kind in sorted(WORKLOADS) if kind in known)
        found = in_order(kubectl.labelled(kinds or "deployments", selector(shipment)))
        pods = (
            kubectl.labelled("pods", selector(shipment))
            if any(one["kind"] in KSERVE for one in found)
            else ()
        )
        return status_of(shipment, found, pods, address=self.options.address)

    def logs(
        self, shipment: Shipment, *, since_s: float, most: int, follow: bool
    ) -> Iterator[LogLine]:
        """See `HasLogs.logs`."""
        return read_logs(
            self._cluster(shipment), selector(shipment), since_s=since_s, most=most, follow=follow
        )

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """See `Lifecycle.destroy`."""
        kubectl = self._cluster(shipment)
        present = in_order(kubectl.labelled(kinds_of_ours(kubectl.kinds()), selector(shipment)))
        gone = [one for one in present if self.options.purge or one["kind"] not in KEPT]
        status = self.status(shipment)
        if gone and not agree(status):
            return Destroyed(name=shipment.name, agreed=False)
        self._remove(kubectl, gone, say=say)
        since = status.since
        return Destroyed(
            name=shipment.name,
            existed=bool(gone),
            leftovers=tuple(leftover(one, kubectl.namespace) for one in present if one not in gone),
            hours=None if since is None else max(0.0, time.time() - since.timestamp()) / 3600,
        )

    def _step(self, shipment: Shipment, wanted: Sequence[Object]) -> _Step:
        kubectl = self._cluster(shipment)
        known = kubectl.kinds()
        check_kinds(kubectl, wanted, known)
        found = {named(one): one for one in kubectl.get(*map(named, wanted))} if wanted else {}
        before = {named(one): found.get(named(one)) for one in wanted}
        for present in found.values():
            check_ours(shipment, present)
        changes: list[Change] = []
        # Also what is new: the server refuses now what it would refuse halfway.
        for one, after in zip(wanted, kubectl.apply(*wanted, dry=True), strict=True):
            name, kind, was = str(one["metadata"]["name"]), str(one["kind"]), before[named(one)]
            if was is None:
                changes.append(Change(action="add", name=name, type=kind))
            elif fields := differing(was, after):
                changes.append(
                    Change(action="change", name=name, type=kind, id=name, fields=fields)
                )
        there = in_order(kubectl.labelled(kinds_of_ours(known), selector(shipment)))
        gone = [one for one in there if named(one) not in before and one["kind"] not in KEPT]
        for one in gone:
            name = str(one["metadata"]["name"])
            changes.append(Change(action="remove", name=name, type=str(one["kind"]), id=name))
        context = kubectl.context()
        return _Step(
            Difference(
                where=f"namespace {kubectl.namespace}"
                + (f" of the cluster {context}" if context else ""),
                changes=tuple(changes),
                new=not there and not any(before.values()),
            ),
            before,
            tuple(gone),
        )

    def _ask(self, shipment: Shipment, *, say: Say) -> bool:
        """Whether the model answered; False where it was not asked."""
        if not self.options.completion:
            return False
        if self.options.address is None:
            say(Note(step="completion", text="not asked: say --address, such as a port-forward's"))
            return False
        endpoint = HttpEndpoint(address=self.options.address, key=self.options.key)
        try:
            await_answer(
                endpoint, shipment.deployment.model_name, say=say, waiting=self.options.waiting
            )
        except UnreachableError as error:
            raise UnreachableError(
                error.message,
                where=error.where,
                hint="kubectl port-forward makes a service reachable from here",
            ) from None
        return True

    def _put_back(
        self, kubectl: Kubectl, step: _Step, removed: Sequence[Object], *, say: Say
    ) -> None:
        """As it was: what was there is applied as it was applied then, what is new is deleted."""
        changed = {f"{one.type}/{one.name}" for one in step.difference.changes}
        there = [one for one in step.before.values() if one is not None]
        for one in (*there, *removed):
            if f"{one['kind']}/{one['metadata']['name']}" in changed:
                say(Note(step="rollback", text="as it was before", what=named(one)))
                kubectl.apply(owned(one))
        for what in reversed([what for what, one in step.before.items() if one is None]):
            if what.partition("/")[0] != "persistentvolumeclaim":
                say(Note(step="rollback", text="is new, and deleted", what=what))
                kubectl.delete(what, limit_s=self.options.waiting.limit_s)

    def _remove(self, kubectl: Kubectl, gone: Sequence[Object], *, say: Say) -> None:
        for one in gone:
            say(Note(step="delete", text="is deleted", what=named(one)))
            kubectl.delete(named(one), limit_s=self.options.waiting.limit_s)

    def _cluster(self, shipment: Shipment) -> Kubectl:
        return Kubectl(self.kubectl, shipment.shipping.namespace)


def _last_lines(kubectl: Kubectl, shipment: Shipment) -> tuple[LogLine, ...]:
    """The last lines of the pods, for an error that must not be hidden by another."""
    try:
        return tuple(read_logs(kubectl, selector(shipment), since_s=3600, most=20, follow=False))
    except PilotageError:
        return ()
