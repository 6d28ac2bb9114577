"""Rules of Lambda and Bedrock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.rules.reading import graph_of, number, of_type
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_FUNCTION: Final = "AWS::Lambda::Function"
_LARGEST_MEMORY: Final = 10_240
_LONGEST_S: Final = 900
_LARGEST_BODY: Final = 6 * 1024 * 1024
_COMMITMENTS: Final = ("OneMonth", "SixMonths")


@rule(
    "lambda-memory",
    what="Lambda refuses the function; 12 GB models do not fit.",
    limit=f"MemorySize is 128 to {_LARGEST_MEMORY:,} MB",
)
def _lambda_memory(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _FUNCTION):
        value = number(one.properties.get("MemorySize"))
        if value is not None and not 128 <= value <= _LARGEST_MEMORY:
            yield Finding(
                f"{one.name}.MemorySize",
                f"{value:g} MB",
                "A router takes 1024; a model of that size belongs to ecs or sagemaker",
            )


@rule(
    "lambda-timeout",
    what="Lambda refuses the function, or ends it before the model's answer is there.",
    limit=f"Timeout is 1 to {_LONGEST_S} s, and not below the router's own",
)
def _lambda_timeout(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    routing = shipment.deployment.routing
    needed = min(_LONGEST_S, float(routing.timeout)) if routing else 1.0
    for one in of_type(rendered, _FUNCTION):
        value = number(one.properties.get("Timeout"))
        given = 3.0 if value is None else value
        if not max(1.0, needed) <= given <= _LONGEST_S:
            yield Finding(
                f"{one.name}.Timeout",
                "not set, which is 3 s" if value is None else f"{value:g} s",
                f"Set it to {max(1.0, needed):g} to {_LONGEST_S}",
            )


@rule(
    "lambda-body",
    what="Requests above it are refused with 413 before the function runs.",
    limit="a request of a function is at most 6 MB",
)
def _lambda_body(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    allowed = shipment.deployment.serving.max_body
    if allowed > _LARGEST_BODY and any(True for _ in of_type(rendered, _FUNCTION)):
        yield Finding(
            "serving.max_body",
            f"{allowed:,} B",
            f"Write serving: {{max_body: {_LARGEST_BODY >> 20}MiB}} in the spec, or use ecs",
        )


@rule(
    "bedrock-commitment",
    what="Bedrock refuses the request, or you pay for half a year that nobody wanted.",
    limit="commitmentDuration is OneMonth or SixMonths, or left out for none",
)
def _bedrock_commitment(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, request in _provisioned(rendered):
        if "commitmentDuration" in request and request["commitmentDuration"] not in _COMMITMENTS:
            yield Finding(
                f"{where}.commitmentDuration",
                repr(request["commitmentDuration"]),
                "Write OneMonth or SixMonths, or leave the field out",
            )


@rule(
    "bedrock-units",
    what="Bedrock refuses the request.",
    limit="modelUnits is a whole number from 1, at most what was planned",
    source="Bedrock CreateProvisionedModelThroughput (botocore); the plan",
)
def _bedrock_units(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    most = shipment.sizing.max_replicas
    for where, request in _provisioned(rendered):
        units = request.get("modelUnits")
        whole = units if isinstance(units, int) and not isinstance(units, bool) else 0
        if not 1 <= whole <= most:
            yield Finding(f"{where}.modelUnits", repr(units), f"Choose 1 to {most}")


@rule(
    "bedrock-template",
    what="CloudFormation has no such type: the template is refused.",
    limit="provisioned throughput is made through the API, not in a template",
)
def _bedrock_template(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in graph_of(rendered).resources:
        if one.type.startswith("AWS::Bedrock::Provisioned"):
            yield Finding(f"{one.name}.Type", one.type, "Ship to bedrock-provisioned")


def _provisioned(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Requests for provisioned throughput, in JSON files and in what targets keep beside them."""
    places: list[tuple[str, Any]] = list(rendered.extra.items())
    for path, content in rendered.files.items():
        if path.endswith(".json"):
            try:
                places.append((path, json.loads(content)))
            except ValueError:
                continue
    seen: list[Mapping[str, Any]] = []
    for place, value in places:
        for where, found in _with_units(place, value):
            if found not in seen:  # The file and what it was written from are one request.
                seen.append(found)
                yield where, found


def _with_units(where: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if "provisionedModelName" in value:
            yield where, value
        for key, part in value.items():
            yield from _with_units(f"{where}.{key}", part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _with_units(f"{where}[{index}]", part)


PROVIDED_RULES: Final = (
    _lambda_memory,
    _lambda_timeout,
    _lambda_body,
    _bedrock_commitment,
    _bedrock_units,
    _bedrock_template,
)
