"""Deleting a stack, once its capacity is gone."""

from __future__ import annotations

from pilotage.ship.lifecycle.events import Events, settled
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import Stack, find_stack, resources_of
from pilotage.ship.lifecycle.stack_change import FailedStackError, StackChange
from pilotage.ship.lifecycle.teardown import empty_capacity


def delete_stack(part: StackChange, stack: Stack, *, say: Say) -> None:
    """Empty a stack's capacity and delete it.

    Raises:
        FailedStackError: Something of it stays.
    """
    waiting = part.waiting
    events = Events(part.aws, stack.id).skip()
    if stack.status == "UPDATE_IN_PROGRESS":
        part.aws.try_call(
            "cloudformation", "cancel_update_stack", "ValidationError", StackName=stack.id
        )
    if stack.busy and stack.status not in {"CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}:
        # CloudFormation deletes nothing while it changes it.
        held = settled(part.aws, stack, events, say=say, waiting=waiting)
        if held is None:
            return
    empty_capacity(part.aws, resources_of(part.aws, stack), say=say, waiting=waiting)
    say(Note(step="delete", text="CloudFormation deletes it", what=stack.name))
    part.aws.call("cloudformation", "delete_stack", StackName=stack.id)
    for _ in waiting.rounds(f"the end of the stack {stack.name}"):
        left = find_stack(part.aws, stack.id)
        if left is None:
            return
        events.tell(say, "delete")
        if left.status == "DELETE_FAILED":
            raise FailedStackError(
                f"could not be deleted: {events.failed or left.reason}",
                where=f"stack {stack.name}",
                hint="Mend what it names and run destroy again, which goes on",
            )
