"""The lifecycle of everything that is a CloudFormation stack, or a stack and one before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pilotage.errors import PilotageError, ServeError, TargetError
from pilotage.ship.cloudformation import template
from pilotage.ship.graph import Graph
from pilotage.ship.lifecycle.asking import Endpoint, UnreachableError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.balancer import healthy
from pilotage.ship.lifecycle.change_set import ChangeSet, Wanted, additions, discard
from pilotage.ship.lifecycle.coming_up import await_service, say_lines
from pilotage.ship.lifecycle.deletion import delete_stack
from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.lifecycle.endpoint_of import endpoint_of
from pilotage.ship.lifecycle.leftovers import leftovers, purge
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.log_lines import follow as followed
from pilotage.ship.lifecycle.log_lines import last_lines, log_groups
from pilotage.ship.lifecycle.options import Options
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, LogLine, Replicas, Status
from pilotage.ship.lifecycle.parameters import KEYS, Known, fill_keys, values
from pilotage.ship.lifecycle.preflight import preflight
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.service import service_in
from pilotage.ship.lifecycle.stack import Stack, StackResource, find_stack, resources_of
from pilotage.ship.lifecycle.stack_change import FailedStackError, StackChange
from pilotage.ship.lifecycle.teardown import being_destroyed
from pilotage.ship.lifecycle.waiting import TooLongError
from pilotage.ship.lifecycle.weights import weights_on_hosts
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.ecs.task import CONTAINER

__all__ = ["CloudFormationLifecycle", "Options"]


@dataclass(frozen=True, slots=True)
class CloudFormationLifecycle:
    """See `Lifecycle`. The state is the stacks'; there is none of our own.

    Attributes:
        aws: Where.
        options: As the user gave them.
    """

    aws: Aws
    options: Options = field(default_factory=Options)

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """See `Lifecycle.diff`."""
        self.aws.check_identity(shipment.shipping.account)
        parts = self._parts(shipment, rendered)
        changes: list[Change] = []
        notes: list[str] = []
        outputs: Mapping[str, str] = {}
        stack: Stack | None = None
        for part, graph in parts:
            stack = part.readable()
            self._check_not_going(stack)
            found, noted, change_set = self._difference(part, graph, stack, outputs)
            if change_set is not None and change_set.changes:
                discard(self.aws, change_set.id)
            changes += found
            notes += noted
            outputs = stack.outputs if stack is not None else {}
        return self._whole(shipment, changes, notes, new=_holds_nothing(stack))

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """See `Lifecycle.apply`."""
        parts = self._parts(shipment, rendered)
        key = rendered.extra.get("package_key")
        preflight(
            self.aws,
            shipment,
            tuple(graph for _, graph in parts),
            say=say,
            package_key=key if isinstance(key, str) else None,
        )
        stacks: list[Stack | None] = []
        plans: list[ChangeSet | None] = []
        changes: list[Change] = []
        notes: list[str] = []
        outputs: Mapping[str, str] = {}
        for part, graph in parts:
            stack = part.ready(say=say)
            self._check_not_going(stack)
            found, noted, change_set = self._difference(part, graph, stack, outputs)
            stacks.append(stack)
            plans.append(change_set)
            changes += found
            notes += noted
            outputs = stack.outputs if stack is not None else {}
        shown = self._whole(shipment, changes, notes, new=_holds_nothing(stacks[-1]))
        if not shown.empty and not agree(shown):
            for change_set in plans:
                if change_set is not None and change_set.changes:
                    discard(self.aws, change_set.id)
            return Applied(difference=shown, applied=False, agreed=False)
        return self._carry_out(shipment, parts, stacks, plans, shown, say=say)

    def status(self, shipment: Shipment) -> Status:
        """See `Lifecycle.status`."""
        self.aws.check_identity(shipment.shipping.account)
        stack = StackChange(
            aws=self.aws, shipment=shipment, name=shipment.name, waiting=self.options.waiting
        ).find()
        if stack is None:
            return Status(name=shipment.name, state="absent")
        return self._status(shipment, stack)

    def logs(
        self, shipment: Shipment, *, since_s: float, most: int, follow: bool
    ) -> Iterator[LogLine]:
        """See `HasLogs.logs`."""
        groups = log_groups(self._held(shipment))
        yield from last_lines(self.aws, groups, since_s=since_s, most=most)
        if follow:
            yield from followed(self.aws, groups, waiting=self.options.waiting)

    def endpoint(self, shipment: Shipment) -> Endpoint:
        """What is asked for completions.

        Raises:
            TargetError: Nothing is there, or it cannot be asked.
        """
        stack = self._part(shipment, shipment.name).find()
        if stack is None:
            raise TargetError("is not there", where=f"stack {shipment.name}", hint="Apply it first")
        found = self._endpoint(shipment, stack, resources_of(self.aws, stack), self.options.key)
        if found is None:
            raise TargetError(
                f"{shipment.target} has no address that answers at once",
                hint="Say --address where one is",
            )
        return found

    def weights(self, shipment: Shipment) -> tuple[str, ...]:
        """See `HasWeights.weights`."""
        held = self._held(shipment)
        service = service_in(self.aws, held)
        if service is None:
            return ()
        return weights_on_hosts(self.aws, service, log_groups(held), container=CONTAINER)

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """See `Lifecycle.destroy`."""
        self.aws.check_identity(shipment.shipping.account)
        # The stack that came first goes last.
        parts = [self._part(shipment, shipment.name), self._part(shipment, f"{shipment.name}-base")]
        stacks = [part.find() for part in parts]
        created = [one.created for one in stacks if one is not None and one.created is not None]
        existed = any(one is not None for one in stacks)
        if existed:
            main = stacks[0]
            state = (
                Status(name=shipment.name, state="absent")
                if main is None
                else self._status(shipment, main)
            )
            if not agree(state):
                return Destroyed(name=shipment.name, agreed=False)
        for part, stack in zip(parts, stacks, strict=True):
            if stack is not None:
                delete_stack(part, stack, say=say)
        left = leftovers(self.aws, shipment)
        if self.options.purge:
            left = purge(self.aws, left, say=say)
        hours = None
        if created:
            hours = (datetime.now(UTC) - min(created)).total_seconds() / 3600
        return Destroyed(name=shipment.name, existed=existed, leftovers=left, hours=hours)

    # What the verbs are made of.

    def _part(self, shipment: Shipment, name: str) -> StackChange:
        return StackChange(aws=self.aws, shipment=shipment, name=name, waiting=self.options.waiting)

    def _parts(
        self, shipment: Shipment, rendered: Rendered
    ) -> tuple[tuple[StackChange, Graph], ...]:
        """The stacks in their order: that of image and keys first, where there is one."""
        if rendered.graph is None:
            raise PilotageError(f"the target {shipment.target} has no CloudFormation stack")
        before = rendered.extra.get("prerequisites")
        graphs = (*((before,) if isinstance(before, Graph) else ()), rendered.graph)
        return tuple((self._part(shipment, graph.name), graph) for graph in graphs)

    def _difference(
        self, part: StackChange, graph: Graph, stack: Stack | None, outputs: Mapping[str, str]
    ) -> tuple[tuple[Change, ...], tuple[str, ...], ChangeSet | None]:
        if _holds_nothing(stack):
            notes = (
                ()
                if stack is None
                else (f"the stack {stack.name}, empty in {stack.status}, is deleted first",)
            )
            made = additions([(one.name, one.type) for one in graph.resources])
            return made, notes, None
        change_set = part.plan(stack, self._wanted(part, graph, stack, outputs, complete=False))
        return change_set.changes, (), change_set

    def _wanted(
        self,
        part: StackChange,
        graph: Graph,
        stack: Stack | None,
        outputs: Mapping[str, str],
        *,
        complete: bool,
    ) -> Wanted:
        held = () if stack is None else resources_of(self.aws, stack)
        known = Known(
            given=self.options.parameters,
            outputs=outputs,
            service=service_in(self.aws, held),
            present={} if stack is None else stack.parameters,
        )
        return Wanted(
            name=graph.name,
            template=template(graph),
            parameters=values(self.aws, graph, part.shipment, known, complete=complete),
            tags=part.shipment.tags,
        )

    def _whole(
        self, shipment: Shipment, changes: Sequence[Change], notes: Sequence[str], *, new: bool
    ) -> Difference:
        return Difference(
            where=f"stack {shipment.name} in {self.aws.region}",
            changes=tuple(changes),
            new=new,
            notes=tuple(notes),
        )

    def _check_not_going(self, stack: Stack | None) -> None:
        if _holds_nothing(stack) or stack is None:
            return
        if being_destroyed(self.aws, resources_of(self.aws, stack)):
            raise FailedStackError(
                "a destroy began and did not end; what is half gone is not applied upon",
                where=f"stack {stack.name}",
                hint="Run destroy again, which goes on; then apply",
            )

    def _carry_out(
        self,
        shipment: Shipment,
        parts: Sequence[tuple[StackChange, Graph]],
        stacks: Sequence[Stack | None],
        plans: Sequence[ChangeSet | None],
        shown: Difference,
        *,
        say: Say,
    ) -> Applied:
        outputs: Mapping[str, str] = {}
        key = self.options.key
        changed_before = False
        saved: Wanted | None = None
        now: Stack | None = None
        for (part, graph), stack, change_set in zip(parts, stacks, plans, strict=True):
            planned, present = change_set, stack
            if _holds_nothing(present):
                if present is not None:
                    part.clear(present, say=say)
                present = None
            main = graph.name == shipment.name
            if planned is None or (main and changed_before):
                wanted = self._wanted(part, graph, present, outputs, complete=True)
                if planned is not None and planned.changes:
                    discard(self.aws, planned.id)
                say(Note(step="change", text="CloudFormation is asked", what=graph.name))
                planned = part.plan(present, wanted)
            now = present
            if planned.changes:
                if main and present is not None:
                    saved = part.saved(present)
                changed_before = True
                now = self._changed(part, planned, say=say)
            outputs = now.outputs if now is not None else {}
            if KEYS in outputs:
                key = fill_keys(self.aws, outputs[KEYS], say=say) or key
        if now is None:
            raise FailedStackError("is gone", where=f"stack {shipment.name}", hint="Apply again")
        part = parts[-1][0]
        try:
            answered = await_service(self.aws, self.options, shipment, now, key=key, say=say)
        except (UnreachableError, TooLongError):
            raise
        except (ServeError, TargetError) as error:
            if self.options.keep or shown.empty:
                raise
            self._go_back(part, now, saved, error, say=say)
        return Applied(
            difference=shown,
            applied=not shown.empty,
            status=self._status(shipment, now),
            answered=answered,
        )

    def _changed(self, part: StackChange, change_set: ChangeSet, *, say: Say) -> Stack:
        try:
            return part.carry_out(change_set, say=say)
        except FailedStackError:
            stack = find_stack(self.aws, change_set.stack_id)
            if stack is not None:
                say_lines(self.aws, resources_of(self.aws, stack), say=say)
            raise

    def _go_back(
        self,
        part: StackChange,
        stack: Stack,
        saved: Wanted | None,
        error: PilotageError,
        *,
        say: Say,
    ) -> None:
        """Undo a change that came up and does not answer.

        Raises:
            PilotageError: The error, with what was done about it.
        """
        say(Note(step="rollback", text=str(error), what=stack.name, bad=True))
        if saved is None:
            delete_stack(part, stack, say=say)
            done = "It was new, and is deleted again (--keep would leave it to be looked at)"
        else:
            change_set = part.plan(stack, saved)
            if change_set.changes:
                part.carry_out(change_set, say=say)
            done = "What ran before runs again"
        raise TargetError(error.message, where=error.where, hint=done)

    def _endpoint(
        self, shipment: Shipment, stack: Stack, held: Sequence[StackResource], key: str | None
    ) -> Endpoint | None:
        return endpoint_of(
            self.aws,
            shipment,
            stack,
            held,
            address=self.options.address,
            key=key,
            waiting=self.options.waiting,
        )

    def _status(self, shipment: Shipment, stack: Stack) -> Status:
        held = resources_of(self.aws, stack)
        service = service_in(self.aws, held)
        replicas = service.replicas() if service is not None else None
        if replicas is not None:
            replicas = Replicas(
                desired=replicas.desired,
                running=replicas.running,
                healthy=healthy(self.aws, held),
            )
        endpoint = self._endpoint(shipment, stack, held, None)
        return Status(
            name=stack.name,
            state=stack.status,
            address=endpoint.address if endpoint is not None else None,
            replicas=replicas,
            since=stack.created,
            outputs=stack.outputs,
            details=service.stopped() if service is not None else (),
        )

    def _held(self, shipment: Shipment) -> tuple[StackResource, ...]:
        stack = self._part(shipment, shipment.name).find()
        return () if stack is None else resources_of(self.aws, stack)


def _holds_nothing(stack: Stack | None) -> bool:
    return stack is None or stack.dead or stack.in_review
