"""References inside a JSON Schema: they are local, lead somewhere, and come to an end."""

from __future__ import annotations

import re
from typing import Any

from pilotage.serve.api.errors import bad_schema

# What would need an escape (~1, %20) is left out: the engine's compiler decodes none.
_LOCAL = re.compile(r"#/(\$defs|definitions)/([A-Za-z0-9._$-]+)")


def target_of(reference: Any, root: dict[str, Any], where: str) -> str:
    """The reference, if it leads to a definition of this schema.

    Raises:
        ApiError: It does not.
    """
    if reference == "#":
        return "#"
    match = _LOCAL.fullmatch(reference) if isinstance(reference, str) else None
    if match is None:
        raise bad_schema(where, "only '#', '#/$defs/NAME' and '#/definitions/NAME' are supported")
    definitions = root.get(match[1])
    if not isinstance(definitions, dict) or match[2] not in definitions:
        raise bad_schema(where, "the schema has no such definition")
    return match[0]


def check_references(root: dict[str, Any], where: str) -> None:
    """Check that something finite can satisfy the schema, and each definition that it has.

    Args:
        root: A schema whose keywords have been checked.
        where: What the client calls it.

    Raises:
        ApiError: A definition is itself again before anything is generated, or needs itself
            inside itself without end.
    """
    named: dict[str, Any] = {"#": root}
    for group in ("$defs", "definitions"):
        for name, schema in root.get(group, {}).items():
            named[f"#/{group}/{name}"] = schema
    _check_loops(named, where)
    finite: set[str] = set()
    while True:
        found = {name for name, schema in named.items() if _is_finite(schema, finite)}
        if found == finite:
            break
        finite = found
    for name in named:
        if name not in finite:
            raise bad_schema(f"{where} ({name[:64]})", "it contains itself without end")


def _check_loops(named: dict[str, Any], where: str) -> None:
    edges = {name: set(_direct(schema)) for name, schema in named.items()}
    while leaves := [name for name, targets in edges.items() if not targets]:
        for leaf in leaves:
            del edges[leaf]
        for targets in edges.values():
            targets.difference_update(leaves)
    if edges:
        raise bad_schema(f"{where} ({max(edges)[:64]})", "it refers to itself and to nothing else")


def _direct(schema: Any) -> list[str]:
    """The references that stand for the value itself and not for a part of it."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return [schema["$ref"]]
    inner = (*schema.get("anyOf", ()), *schema.get("allOf", ()))
    return [name for one in inner for name in _direct(one)]


def _is_finite(schema: Any, finite: set[str]) -> bool:
    """Whether some value satisfies it, given the definitions that some value satisfies."""
    if not isinstance(schema, dict):
        return True
    if "$ref" in schema:
        return schema["$ref"] in finite
    if "anyOf" in schema:
        return any(_is_finite(one, finite) for one in schema["anyOf"])
    if "allOf" in schema:
        return _is_finite(schema["allOf"][0], finite)
    properties = schema.get("properties", {})
    parts = [properties[name] for name in schema.get("required", ())]
    parts += schema.get("prefixItems", ())
    if schema.get("minItems", 0) > len(schema.get("prefixItems", ())):
        parts.append(schema.get("items", True))
    return all(_is_finite(one, finite) for one in parts)
