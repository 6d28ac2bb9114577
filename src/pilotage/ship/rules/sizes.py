"""Rules of how large a text may be that AWS is sent: templates and policies.

A task definition may have 64 KiB, which no template holds that fits into a request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pilotage.ship.cloudformation import LARGEST_BODY, compact_size
from pilotage.ship.graph import Attribute, Graph, Join, Ref
from pilotage.ship.rules.reading import at, items, of_type
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_LARGEST_POLICIES: Final = 10_240

# What stands for a reference until the stack is made: about as long as it will be.
_LENGTHS: Final = {"AWS::Partition": 3, "AWS::Region": 14, "AWS::AccountId": 12}
_NAME: Final = 64
_ARN: Final = 120


@rule(
    "template-size",
    what="CloudFormation refuses the request, after what comes before the stack was made.",
    limit=f"a template is at most {LARGEST_BODY:,} bytes without its white space",
    source="CloudFormation User Guide, quotas: template body in a request",
)
def _template_size(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    graphs = [("template.yaml", rendered.graph)]
    before = rendered.extra.get("prerequisites")
    if isinstance(before, Graph):
        graphs.append(("prerequisites.yaml", before))
    for name, graph in graphs:
        if graph is None:
            continue
        try:
            size = compact_size(graph)
        except ValueError:
            continue  # no template at all, which rendering refuses
        if size > LARGEST_BODY:
            yield Finding(
                name,
                f"{size:,} bytes",
                "Name a VPC and its subnets (shipping.network), so that the stack makes no "
                "network; write fewer tiers and rules into routing; or deploy the rendered file "
                "by hand: aws cloudformation deploy --s3-bucket BUCKET",
            )


@rule(
    "role-size",
    what="IAM refuses the role, and the stack is rolled back.",
    limit=f"the inline policies of a role have at most {_LARGEST_POLICIES:,} characters together",
    source="IAM User Guide, quotas: role inline policies, without white space",
)
def _role_size(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, "AWS::IAM::Role"):
        documents = [
            json.dumps(resolved(at(part, "PolicyDocument")), separators=(",", ":"))
            for part in items(one.properties, "Policies")
        ]
        size = sum(len(each) for each in documents)
        if size > _LARGEST_POLICIES:
            yield Finding(
                f"{one.name}.Policies",
                f"about {size:,} characters",
                "Route to fewer models, or name their own ids instead of profiles of a part of "
                "the world (us.…), each of which is a model in every region there",
            )


def resolved(value: Any) -> Any:
    """A value with text of about the right length in place of references."""
    match value:
        case Ref(name):
            return "x" * _LENGTHS.get(name, _NAME)
        case Attribute():
            return "x" * _ARN
        case Join(parts):
            return "".join(str(resolved(part)) for part in parts)
        case dict():
            return {str(key): resolved(part) for key, part in value.items()}
        case list() | tuple():
            return [resolved(part) for part in value]
        case _:
            return value if isinstance(value, str | int | float) else str(value)


SIZE_RULES: Final = (_template_size, _role_size)
