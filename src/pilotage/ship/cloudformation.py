"""A resource graph as a CloudFormation template.

YAML in long forms (``Ref:``, ``Fn::GetAtt:``) and in the graph's order, so that the same graph is
always the same text and any YAML reader reads it. What cannot be right whatever the values are (a
reference to nothing, two resources of one name) is refused here, since AWS would say it only after
the stack has begun.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from pilotage.ship.graph import Attribute, Graph, Join, Parameter, Ref, Resource

LARGEST_BODY: Final = 51_200
"""Bytes of a template in the request itself; a larger one has to lie in S3 (CloudFormation quotas).
"""

_SHORT: Final = 64
# Ends of lines to YAML, which would be read as others than were written; escaped they stay.
_ODD: Final = frozenset("\r\x85\u2028\u2029")
_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")
# Values that CloudFormation knows by itself, such as AWS::Region.
_PSEUDO = "AWS::"


def template(graph: Graph) -> str:
    """The template of a graph, YAML.

    Raises:
        ValueError: The graph is no template: a name that is taken or not made of letters and
            digits, or a reference to what is not there.
    """
    _check(graph)
    return yaml.dump(
        _body(graph),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def compact_size(graph: Graph) -> int:
    """Bytes of the template in the shortest form in which it can be sent.

    Raises:
        ValueError: Something in it has no form in a template.
    """
    return len(json.dumps(_body(graph), separators=(",", ":")).encode())


def _body(graph: Graph) -> dict[str, Any]:
    body: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": graph.description,
    }
    if graph.parameters:
        body["Parameters"] = {one.name: _parameter(one) for one in graph.parameters}
    body["Resources"] = {one.name: _resource(one) for one in graph.resources}
    if graph.outputs:
        body["Outputs"] = {name: {"Value": plain(value)} for name, value in graph.outputs.items()}
    return body


def plain(value: object) -> Any:
    """A value with CloudFormation's functions in place of the graph's references."""
    match value:
        case Ref(name):
            return {"Ref": name}
        case Attribute(name, attribute):
            return {"Fn::GetAtt": [name, attribute]}
        case Join(parts):
            return {"Fn::Join": ["", [plain(part) for part in parts]]}
        case Mapping():
            return {str(key): plain(part) for key, part in value.items()}
        case str() | int() | float() | None:
            return value
        case list() | tuple():
            return [plain(part) for part in value]
        case _:
            raise ValueError(f"a template has no form for {type(value).__name__}")


def references(value: object) -> Iterator[str]:
    """Names of the resources and parameters that a value refers to."""
    match value:
        case Ref(name) | Attribute(name, _):
            yield name
        case Join(parts):
            for part in parts:
                yield from references(part)
        case Mapping():
            for part in value.values():
                yield from references(part)
        case list() | tuple():
            for part in value:
                yield from references(part)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "Type": parameter.type,
        "Default": parameter.default,
        "Description": parameter.description,
    }


def _resource(resource: Resource) -> dict[str, Any]:
    body: dict[str, Any] = {"Type": resource.type}
    if resource.depends_on:
        body["DependsOn"] = list(resource.depends_on)
    if resource.retain:
        # Both: the one is for the stack's end, the other for a change that makes it anew.
        body["DeletionPolicy"] = "Retain"
        body["UpdateReplacePolicy"] = "Retain"
    if resource.metadata:
        body["Metadata"] = plain(resource.metadata)
    if resource.properties:
        body["Properties"] = plain(resource.properties)
    return body


def _check(graph: Graph) -> None:
    known: set[str] = set()
    resources = [one.name for one in graph.resources]
    for name in (*(one.name for one in graph.parameters), *resources):
        if not _LOGICAL_ID.fullmatch(name):
            raise ValueError(f'"{name}" is no logical id: letters and digits only')
        if name in known:
            raise ValueError(f'"{name}" is there twice')
        known.add(name)
    for one in graph.resources:
        for name in references(one.properties):
            if name not in known and not name.startswith(_PSEUDO):
                raise ValueError(f'{one.name} refers to "{name}", which is not there')
        for name in one.depends_on:
            if name not in resources:
                raise ValueError(f'{one.name} depends on "{name}", which is not there')
    for name in references(graph.outputs):
        if name not in known and not name.startswith(_PSEUDO):
            raise ValueError(f'an output refers to "{name}", which is not there')


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, a short list or map on a line, nothing as an alias.

    It is read by people.
    """

    def represent_mapping(
        self, tag: str, mapping: Any, flow_style: bool | None = None
    ) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = _is_short([part for pair in node.value for part in pair])
        return node

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = _is_short(node.value)
        return node

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _is_short(parts: list[yaml.Node]) -> bool:
    """Whether plain values fit on a line, with a comma and a space for each."""
    return (
        all(isinstance(part, yaml.ScalarNode) and "\n" not in part.value for part in parts)
        and sum(len(part.value) + 2 for part in parts) <= _SHORT
    )


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if not _ODD.isdisjoint(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
