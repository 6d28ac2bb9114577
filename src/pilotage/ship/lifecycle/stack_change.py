"""Bringing one stack to what it should be, from whatever state it was left in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from pilotage.errors import TargetError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.change_set import (
    ChangeSet,
    Wanted,
    discard_abandoned,
    execute,
    make_change_set,
)
from pilotage.ship.lifecycle.events import Events, first_failure, settled
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import Stack, find_stack, own_stack
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Shipment

_GOOD: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
_CHANGEABLE: Final = _GOOD | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}


class FailedStackError(TargetError):
    """A stack is in a state that applying cannot mend, or has just failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackChange:
    """One stack of a deployment, and how it is changed.

    Attributes:
        aws: Where.
        shipment: Whose.
        name: The stack's.
        waiting: For CloudFormation.
    """

    aws: Aws
    shipment: Shipment
    name: str
    waiting: Waiting

    def find(self) -> Stack | None:
        """The stack as it is; None if there is none.

        Raises:
            NameCollisionError: It is not this deployment's.
        """
        return own_stack(self.aws, self.shipment, self.name)

    def ready(self, *, say: Say) -> Stack | None:
        """The stack once it can be changed; None if there is none. What is under way is awaited.

        Raises:
            FailedStackError: It cannot be changed; says why it failed, and how to go on.
            TooLongError: CloudFormation does not come to an end.
        """
        stack = self.find()
        if stack is not None and stack.busy:
            text = f"CloudFormation is at work ({stack.status}); waiting for it"
            say(Note(step="stack", text=text, what=self.name))
            events = Events(self.aws, stack.id).skip()
            stack = settled(self.aws, stack, events, say=say, waiting=self.waiting)
        if stack is not None and stack.status == "UPDATE_ROLLBACK_FAILED":
            stack = self._rolled_back(stack, say=say)
        if stack is None or stack.dead or stack.in_review or stack.status in _CHANGEABLE:
            return stack
        raise self.stuck(stack)

    def readable(self) -> Stack | None:
        """Like `ready`, and nothing is waited for or changed.

        Raises:
            FailedStackError: It cannot be changed (now).
        """
        stack = self.find()
        if stack is None or stack.dead or stack.in_review or stack.status in _CHANGEABLE:
            return stack
        raise self.stuck(stack)

    def stuck(self, stack: Stack) -> FailedStackError:
        """Why a stack cannot be changed, and how to go on."""
        if stack.busy:
            return FailedStackError(
                f"CloudFormation is at work on it ({stack.status})",
                where=f"stack {stack.name}",
                hint="status shows it; apply waits for it",
            )
        hint = {
            "UPDATE_ROLLBACK_FAILED": "Mend what it names; apply then finishes the rollback. "
            "destroy removes it all",
        }.get(stack.status, "pilotage ship destroy removes what is left; then apply again")
        return FailedStackError(
            f"is in {stack.status}: {first_failure(self.aws, stack)}",
            where=f"stack {stack.name}",
            hint=hint,
        )

    def clear(self, stack: Stack, *, say: Say) -> None:
        """Delete a stack that holds nothing: rolled back, or never begun.

        Raises:
            FailedStackError: It could not be deleted.
        """
        say(Note(step="stack", text=f"the empty stack ({stack.status}) is deleted",
                 what=stack.name))  # fmt: skip
        events = Events(self.aws, stack.id).skip()
        self.aws.call("cloudformation", "delete_stack", StackName=stack.id)
        for _ in self.waiting.rounds(f"the end of the stack {stack.name}"):
            left = find_stack(self.aws, stack.id)
            if left is None:
                return
            events.tell(say, "stack")
            if left.status == "DELETE_FAILED":
                raise self.stuck(left)

    def plan(self, stack: Stack | None, wanted: Wanted) -> ChangeSet:
        """The change set that makes the stack what is wanted.

        Raises:
            TargetError: CloudFormation cannot do it.
        """
        if stack is not None:
            discard_abandoned(self.aws, stack)
        return make_change_set(self.aws, wanted, new=stack is None, waiting=self.waiting)

    def carry_out(self, change_set: ChangeSet, *, say: Say) -> Stack:
        """Execute a change set and wait for its end.

        Raises:
            FailedStackError: It failed and was rolled back, or could not even be.
            TooLongError: It takes too long.
        """
        before = find_stack(self.aws, change_set.stack_id)
        events = Events(self.aws, change_set.stack_id).skip()
        execute(self.aws, change_set)
        if before is None:
            raise FailedStackError("is gone", where=f"stack {self.name}", hint="Apply again")
        after = settled(self.aws, before, events, say=say, waiting=self.waiting, begun=False)
        if after is not None and after.status in _GOOD:
            return after
        state = "DELETE_COMPLETE" if after is None else after.status
        cause = events.failed or (first_failure(self.aws, after) if after else "it was deleted")
        rolled = state.endswith("ROLLBACK_COMPLETE")
        raise FailedStackError(
            f"failed ({state}): {cause}",
            where=f"stack {self.name}",
            hint="What ran before runs on; mend it and apply again"
            if state == "UPDATE_ROLLBACK_COMPLETE"
            else "Nothing of it runs; mend it and apply again, which deletes the empty stack first"
            if rolled
            else "pilotage ship destroy removes what is left",
        )

    def saved(self, stack: Stack) -> Wanted:
        """What the stack is now, to go back to."""
        body: Any = self.aws.call("cloudformation", "get_template", StackName=stack.id)[
            "TemplateBody"
        ]
        told = self.aws.call("cloudformation", "describe_stacks", StackName=stack.id)["Stacks"][0]
        return Wanted(
            name=stack.name,
            template=body if isinstance(body, str) else json.dumps(body),
            parameters={
                one["ParameterKey"]: one["ParameterValue"] for one in told.get("Parameters") or ()
            },
            tags=stack.tags,
        )

    def _rolled_back(self, stack: Stack, *, say: Say) -> Stack | None:
        say(Note(step="rollback", text="the rollback that failed is tried again", what=stack.name))
        events = Events(self.aws, stack.id).skip()
        self.aws.call("cloudformation", "continue_update_rollback", StackName=stack.id)
        return settled(self.aws, stack, events, say=say, waiting=self.waiting, begun=False)
