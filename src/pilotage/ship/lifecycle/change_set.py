"""Change sets: made, read as a difference, executed or thrown away."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import yaml

from pilotage.errors import TargetError, UsageError
from pilotage.ship.cloudformation import LARGEST_BODY
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.difference import Action, Change
from pilotage.ship.lifecycle.stack import Stack
from pilotage.ship.lifecycle.waiting import Waiting

_PREFIX: Final = "pilotage-"
# CloudFormation's words for "nothing to do"; it has no code for it.
_NOTHING: Final = ("didn't contain changes", "no updates are to be performed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a stack should be.

    Attributes:
        name: The stack's.
        template: YAML.
        parameters: By name; those left out have the template's defaults.
        tags: Of the stack and, by CloudFormation, of all that takes tags.
    """

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def body(self) -> str:
        """The template, in the shorter of its forms if it is long.

        Raises:
            UsageError: It does not fit into a request.
        """
        if len(self.template.encode()) <= LARGEST_BODY:
            return self.template
        short = json.dumps(yaml.safe_load(self.template), separators=(",", ":"))
        if len(short.encode()) > LARGEST_BODY:
            raise UsageError(
                f"the template has {len(short.encode())} bytes; a request takes {LARGEST_BODY}",
                hint="Name a VPC and its subnets (shipping.network), so that the stack makes no "
                "network, or deploy the rendered file with aws cloudformation deploy --s3-bucket",
            )
        return short


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """A change set that waits to be executed.

    Attributes:
        id: Its ARN.
        stack_id: The stack's ARN.
        changes: What it would do; empty if nothing.
    """

    id: str
    stack_id: str
    changes: tuple[Change, ...]


def make_change_set(aws: Aws, wanted: Wanted, *, new: bool, waiting: Waiting) -> ChangeSet:
    """Ask CloudFormation what it would do.

    Args:
        aws: Where.
        wanted: What the stack should be.
        new: Whether there is no stack yet; it is then there in review.
        waiting: For it.

    Raises:
        TargetError: CloudFormation cannot do it; says why.
        PilotageError: AWS cannot be asked.
    """
    made = aws.try_call(
        "cloudformation",
        "create_change_set",
        StackName=wanted.name,
        ChangeSetName=_name(),
        ChangeSetType="CREATE" if new else "UPDATE",
        TemplateBody=wanted.body,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in sorted(wanted.parameters.items())
        ],
        Tags=[{"Key": key, "Value": value} for key, value in sorted(wanted.tags.items())],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        Description="pilotage ship",
        # What an earlier stack of this deployment kept (logs, images) is taken up again.
        ImportExistingResources=True,
    )
    if made is None:
        raise TargetError("CloudFormation made no change set")
    for _ in waiting.rounds("the change set"):
        told = aws.call("cloudformation", "describe_change_set", ChangeSetName=made["Id"])
        if told["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            break
    if told["Status"] == "FAILED":
        discard(aws, made["Id"])
        reason = str(told.get("StatusReason") or "no reason is given")
        if any(words in reason.lower() for words in _NOTHING):
            return ChangeSet(id=made["Id"], stack_id=made["StackId"], changes=())
        raise TargetError(
            f"CloudFormation cannot make this change: {reason}",
            where=f"stack {wanted.name}",
            hint="Nothing was changed",
        )
    return ChangeSet(
        id=made["Id"], stack_id=made["StackId"], changes=_all_changes(aws, made["Id"], told)
    )


def execute(aws: Aws, change_set: ChangeSet) -> None:
    """Let CloudFormation do it.

    Raises:
        TargetError: It is gone, or the stack has changed meanwhile: another apply came first.
        PilotageError: AWS cannot be asked.
    """
    done = aws.try_call(
        "cloudformation",
        "execute_change_set",
        "ChangeSetNotFound",
        "InvalidChangeSetStatus",
        ChangeSetName=change_set.id,
    )
    if done is None:
        raise TargetError(
            "what was shown is no longer what would change: someone else changed the stack",
            hint="Run apply again and look at the new difference",
        )


def discard(aws: Aws, change_set_id: str) -> None:
    """Throw a change set away; one that is gone is gone."""
    aws.try_call(
        "cloudformation", "delete_change_set", "ChangeSetNotFound", ChangeSetName=change_set_id
    )


def discard_abandoned(aws: Aws, stack: Stack) -> None:
    """Throw away what earlier runs left that were killed while they asked.

    Only ours, by their names; those that were executed are CloudFormation's record.
    """
    for one in aws.pages("cloudformation", "list_change_sets", "Summaries", StackName=stack.name):
        waits = one.get("ExecutionStatus") in {"AVAILABLE", "UNAVAILABLE"}
        if waits and one.get("StackId") == stack.id and one["ChangeSetName"].startswith(_PREFIX):
            discard(aws, one["ChangeSetId"])


def additions(resources: Sequence[tuple[str, str]]) -> tuple[Change, ...]:
    """The changes that make a stack which is not there: names and types."""
    return tuple(Change(action="add", name=name, type=kind) for name, kind in resources)


def _name() -> str:
    """New for each, so that one which was thrown away is never mistaken for this."""
    return f"{_PREFIX}{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}"


def _all_changes(aws: Aws, change_set_id: str, first: Mapping[str, Any]) -> tuple[Change, ...]:
    changes = list(first.get("Changes") or ())
    page = first
    while token := page.get("NextToken"):
        page = aws.call(
            "cloudformation", "describe_change_set", ChangeSetName=change_set_id, NextToken=token
        )
        changes += page.get("Changes") or ()
    return tuple(
        _change(one["ResourceChange"]) for one in changes if one.get("ResourceChange") is not None
    )


def _change(told: Mapping[str, Any]) -> Change:
    fields = {
        ".".join(
            part
            for part in (one["Target"].get("Attribute"), one["Target"].get("Name"))
            if part is not None
        )
        for one in told.get("Details") or ()
        if one.get("Target")
    }
    return Change(
        action=_action(str(told.get("Action")), str(told.get("Replacement") or "")),
        name=str(told["LogicalResourceId"]),
        type=str(told["ResourceType"]),
        id=told.get("PhysicalResourceId"),
        fields=tuple(sorted(fields - {""})),
    )


def _action(action: str, replacement: str) -> Action:
    match action, replacement:
        case "Add" | "Import", _:
            return "add"
        case "Remove", _:
            return "remove"
        case _, "True":
            return "replace"
        case ("Modify", "Conditional") | ("Dynamic", _):
            return "maybe-replace"
        case _:
            return "change"
