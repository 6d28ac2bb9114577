"""Waiting for a stack, through its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.progress import Note, Say, Step
from pilotage.ship.lifecycle.stack import Stack, find_stack
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import printable

# The first failure is the cause; the others are cancelled for its sake.
_CANCELLED = "cancelled"


@dataclass
class Events:
    """The events of a stack from a moment on.

    Attributes:
        aws: Where it is.
        stack_id: Its ARN.
        failed: The first resource that failed: "NAME (TYPE): reason".
        told: How many were said so far.
    """

    aws: Aws
    stack_id: str
    failed: str | None = None
    told: int = 0
    _seen: set[str] = field(default_factory=set)

    def skip(self) -> Events:
        """Leave out what has happened so far."""
        self._seen.update(one["EventId"] for one in self._all())
        return self

    def tell(self, say: Say, step: Step) -> None:
        """Say what happened since the last time, the oldest first."""
        fresh: list[dict[str, Any]] = []
        for event in self._all():
            if event["EventId"] in self._seen:
                break
            fresh.append(event)
        for event in reversed(fresh):
            self._seen.add(event["EventId"])
            self.told += 1
            state = str(event.get("ResourceStatus", ""))
            name = str(event.get("LogicalResourceId", ""))
            reason = printable(str(event.get("ResourceStatusReason") or ""))
            bad = state.endswith("_FAILED") and _CANCELLED not in reason.lower()
            if bad and self.failed is None:
                self.failed = f"{name} ({event.get('ResourceType')}): {reason or state}"
            say(Note(step=step, text=reason, what=name, state=state, bad=bad))

    def _all(self) -> Any:
        return self.aws.pages(
            "cloudformation", "describe_stack_events", "StackEvents", StackName=self.stack_id
        )


def settled(
    aws: Aws,
    stack: Stack,
    events: Events,
    *,
    say: Say,
    waiting: Waiting,
    begun: bool = True,
) -> Stack | None:
    """Wait until CloudFormation is done with a stack; None if it is gone then.

    Args:
        aws: Where.
        stack: As it was.
        events: Of the stack, those before left out.
        say: Is told the events.
        waiting: For it.
        begun: Whether it is at work already. If not, its state counts only once there is an event:
            right after a call it may still be that from before.

    Raises:
        TargetError: It took too long.
        PilotageError: AWS cannot be asked.
    """
    now: Stack | None = stack
    for _ in waiting.rounds(f"the stack {stack.name}"):
        now = find_stack(aws, stack.id)
        if now is None:
            return None
        events.tell(say, "stack")
        if not now.busy and (begun or events.told):
            return now
    return now


def first_failure(aws: Aws, stack: Stack) -> str:
    """Why a stack failed the last time, from its newest events; its own reason if none says it."""
    newest: str | None = None
    for event in aws.pages(
        "cloudformation", "describe_stack_events", "StackEvents", StackName=stack.id
    ):
        state = str(event.get("ResourceStatus", ""))
        reason = str(event.get("ResourceStatusReason") or "")
        own = event.get("PhysicalResourceId") == stack.id
        # The newest operation's first failure: the operation began with this event.
        if own and state in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}:
            break
        if state.endswith("_FAILED") and not own and _CANCELLED not in reason.lower():
            newest = f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): " + (
                printable(reason) or state
            )
    return newest or printable(stack.reason) or stack.status
