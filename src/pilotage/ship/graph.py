"""Resources and what depends on what: the form every AWS target has before it is text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """The name or id of another resource or parameter (CloudFormation's ``Ref``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of another resource (``Fn::GetAtt``), such as its Arn."""

    name: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Join:
    """Texts and references joined without anything between (``Fn::Join``)."""

    parts: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing to be made.

    Attributes:
        name: Its logical id: letters and digits.
        type: CloudFormation's, such as "AWS::ECS::Service".
        properties: CloudFormation's, with `Ref`, `Attribute` and `Join` in them.
        depends_on: Names of resources that must be there first, beside those it refers to.
        retain: Kept when the stack is deleted (images, logs), and listed by ``destroy``.
        metadata: Of the resource, such as a check's exception with its reason.
    """

    name: str
    type: str
    properties: Properties
    depends_on: tuple[str, ...] = ()
    retain: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value that is given when the stack is made, such as the newest AMI's id.

    Attributes:
        name: Its logical id.
        type: CloudFormation's, such as "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>".
        default: What it is unless something else is given.
        description: For people.
    """

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All resources of a deployment.

    Attributes:
        name: The stack's.
        description: One line.
        parameters: Of the stack.
        resources: In an order in which each comes after those it needs.
        outputs: Values that people want afterwards, with references.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    resources: tuple[Resource, ...] = ()
    outputs: Mapping[str, object] = field(default_factory=dict)

    def of_type(self, kind: str) -> Iterator[Resource]:
        """The resources of a CloudFormation type."""
        return (one for one in self.resources if one.type == kind)
