"""One CloudFormation stack: what it is, whose it is, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.target import Shipment

OWNER_TAG: Final = "pilotage:deployment"
TARGET_TAG: Final = "pilotage:target"


class NameCollisionError(UsageError):
    """What has the deployment's name was not made by this deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack as CloudFormation describes it.

    Attributes:
        id: Its ARN, which no later stack of the same name has.
        name: Its name.
        status: CloudFormation's word.
        reason: Why it is so, where CloudFormation says it.
        tags: Of the stack.
        outputs: What the template gives out.
        created: When.
        parameters: As they were given the last time.
    """

    id: str
    name: str
    status: str
    reason: str
    tags: Mapping[str, str]
    outputs: Mapping[str, str]
    created: datetime | None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether CloudFormation is at work on it. A stack in review is not: it holds nothing."""
        return self.status.endswith("_IN_PROGRESS") and not self.in_review

    @property
    def in_review(self) -> bool:
        """Whether it is only a name with a change set that was never executed."""
        return self.status == "REVIEW_IN_PROGRESS"

    @property
    def dead(self) -> bool:
        """Whether its creation failed and was undone: it holds nothing, and can only be deleted."""
        return self.status == "ROLLBACK_COMPLETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackResource:
    """A resource that a stack holds.

    Attributes:
        name: In the template.
        type: CloudFormation's.
        id: The physical id: an ARN or a name, by type.
        status: CloudFormation's word.
    """

    name: str
    type: str
    id: str
    status: str


def find_stack(aws: Aws, name: str) -> Stack | None:
    """The stack of a name or ARN; None if there is none (any longer).

    Raises:
        PilotageError: AWS cannot be asked.
    """
    # CloudFormation has no code of its own for it, only "does not exist" in the text.
    answer = aws.try_call("cloudformation", "describe_stacks", "ValidationError", StackName=name)
    if answer is None or not answer.get("Stacks"):
        return None
    found = _stack(answer["Stacks"][0])
    return None if found.status == "DELETE_COMPLETE" else found


def own_stack(aws: Aws, shipment: Shipment, name: str | None = None) -> Stack | None:
    """The deployment's stack; None if there is none.

    Args:
        aws: Where.
        shipment: Whose.
        name: The stack's; the shipment's if None.

    Raises:
        NameCollisionError: A stack of that name is not this deployment's.
    """
    stack = find_stack(aws, name or shipment.name)
    if stack is None:
        return None
    tags = stack.tags
    if stack.in_review and OWNER_TAG not in tags:
        tags = _tags_in_review(aws, stack)
    check_owner(tags, shipment, f"the stack {stack.name} in {aws.region}")
    target = tags.get(TARGET_TAG, shipment.target)
    if target != shipment.target:
        raise NameCollisionError(
            f"the stack {stack.name} runs this deployment on {target}, not on {shipment.target}",
            where="shipping.target",
            hint=f"Destroy it first (pilotage ship destroy SPEC --target {target}), or choose "
            "another name",
        )
    return stack


def check_owner(tags: Mapping[str, str], shipment: Shipment, what: str) -> None:
    """Refuse what is not this deployment's.

    Raises:
        NameCollisionError: Its tags say so.
    """
    owner = tags.get(OWNER_TAG)
    if owner == shipment.deployment.name:
        return
    said = f"has no tag {OWNER_TAG}" if owner is None else f'belongs to the deployment "{owner}"'
    raise NameCollisionError(
        f"name collision: {what} {said}, so it is not ours and stays as it is",
        where="name",
        hint="Choose another name for the deployment, or remove what is in its way yourself",
    )


def resources_of(aws: Aws, stack: Stack) -> tuple[StackResource, ...]:
    """What a stack holds; deleted resources are left out."""
    return tuple(
        StackResource(
            name=one["LogicalResourceId"],
            type=one["ResourceType"],
            id=one.get("PhysicalResourceId") or "",
            status=one["ResourceStatus"],
        )
        for one in aws.pages(
            "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack.id
        )
        if one["ResourceStatus"] != "DELETE_COMPLETE"
    )


def _tags_in_review(aws: Aws, stack: Stack) -> Mapping[str, str]:
    """The tags that the change sets of a stack in review would give it."""
    for one in aws.pages("cloudformation", "list_change_sets", "Summaries", StackName=stack.name):
        described = aws.try_call(
            "cloudformation",
            "describe_change_set",
            "ChangeSetNotFound",
            ChangeSetName=one["ChangeSetId"],
        )
        if described is not None:
            return _pairs(described.get("Tags"), "Key", "Value")
    return {}


def _stack(told: Mapping[str, Any]) -> Stack:
    return Stack(
        id=told["StackId"],
        name=told["StackName"],
        status=told["StackStatus"],
        reason=told.get("StackStatusReason") or "",
        tags=_pairs(told.get("Tags"), "Key", "Value"),
        outputs=_pairs(told.get("Outputs"), "OutputKey", "OutputValue"),
        created=told.get("CreationTime"),
        parameters=_pairs(told.get("Parameters"), "ParameterKey", "ParameterValue"),
    )


def _pairs(listed: Any, key: str, value: str) -> dict[str, str]:
    return {str(one[key]): str(one[value]) for one in listed or ()}
