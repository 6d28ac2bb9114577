"""Whether a JSON value is what a JSON Schema asks for, in bounded time.

Schemas come from clients and values from models, so neither is trusted: references are followed
inside the schema only, depth and steps are bounded, and regular expressions (``pattern``, whose
cost nothing bounds) and ``format`` are left alone. A keyword that is not known here is not held
against a value: a provider may know it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

_MAX_STEPS: Final = 20_000
_MAX_DEPTH: Final = 64


class Undecided(Exception):
    """The schema cannot be judged within the bounds, or is none."""


def fault_of(value: Any, schema: Any) -> str | None:
    """Why a value does not conform; None if it does.

    The reason names keywords and positions, never a value and never a property's name: the
    ledger keeps it.

    Raises:
        Undecided: Too deep or too large to tell, or not a schema.
    """
    return next(_Check(schema).faults(value, schema, 0), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == value // 1,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _is_of_type(value: Any, name: Any) -> bool:
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Undecided("no type of JSON Schema")
    return kind(value)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


class _Check:
    """One value against one schema; the step count is what is left of the bound."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = _MAX_STEPS

    def faults(self, value: Any, schema: Any, depth: int) -> Iterator[str]:
        self._steps -= 1
        if self._steps < 0 or depth > _MAX_DEPTH:
            raise Undecided("the schema or the value is too large")
        if schema is True:
            return
        if schema is False:
            yield "nothing is allowed there"
            return
        if not isinstance(schema, Mapping):
            raise Undecided("a schema is an object, true or false")
        if "$ref" in schema:
            yield from self.faults(value, self._target(schema["$ref"]), depth + 1)
        yield from self._kind(value, schema)
        yield from self._combined(value, schema, depth)
        if isinstance(value, Mapping):
            yield from self._object(value, schema, depth)
        elif isinstance(value, list):
            yield from self._array(value, schema, depth)
        elif isinstance(value, str):
            yield from _within(len(value), schema, "minLength", "maxLength")
        elif _is_number(value):
            yield from _number(value, schema)

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Undecided("a reference leads out of the schema")
        target = self._root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or key not in target:
                raise Undecided("a reference leads nowhere")
            target = target[key]
        return target

    def _kind(self, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        if "type" in schema:
            named = schema["type"]
            types = named if isinstance(named, list) else [named]
            if not any(_is_of_type(value, name) for name in types):
                yield f"type: not {' or '.join(types)}"
        if "const" in schema and not _same(value, schema["const"]):
            yield "const: another value"
        if "enum" in schema:
            values = _list(schema["enum"])
            self._steps -= len(values)
            if not any(_same(value, one) for one in values):
                yield "enum: not one of the values"

    def _combined(self, value: Any, schema: Mapping[str, Any], depth: int) -> Iterator[str]:
        for one in _list(schema.get("allOf", ())):
            yield from self.faults(value, one, depth + 1)
        for name, exactly_one in (("anyOf", False), ("oneOf", True)):
            if name not in schema:
                continue
            hits = 0
            for one in _list(schema[name]):
                hits += next(self.faults(value, one, depth + 1), None) is None
                if hits and not exactly_one:
                    break
            if hits == 0 or (exactly_one and hits > 1):
                yield f"{name}: {hits} of them fit"
        if "not" in schema and next(self.faults(value, schema["not"], depth + 1), None) is None:
            yield "not: it is"

    def _object(
        self, value: Mapping[str, Any], schema: Mapping[str, Any], depth: int
    ) -> Iterator[str]:
        missing = [name for name in _list(schema.get("required", ())) if name not in value]
        if missing:
            yield f"required: {len(missing)} missing"
        yield from _within(len(value), schema, "minProperties", "maxProperties")
        known = schema.get("properties", {})
        if not isinstance(known, Mapping):
            raise Undecided("properties is an object")
        # With patterns beside it, what is additional cannot be told without them.
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        for index, (name, one) in enumerate(value.items()):
            for fault in self.faults(one, known.get(name, others), depth + 1):
                yield f"property {index + 1}: {fault}"

    def _array(self, value: list[Any], schema: Mapping[str, Any], depth: int) -> Iterator[str]:
        yield from _within(len(value), schema, "minItems", "maxItems")
        prefix = _list(schema.get("prefixItems", ()))
        others = schema.get("items", True)
        for index, one in enumerate(value):
            for fault in self.faults(
                one, prefix[index] if index < len(prefix) else others, depth + 1
            ):
                yield f"item {index + 1}: {fault}"


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise Undecided("a keyword has no list")
    return value


def _bound(schema: Mapping[str, Any], name: str) -> float | None:
    value = schema.get(name)
    if value is not None and not _is_number(value):
        raise Undecided(f"{name} is a number")
    return value


def _within(size: int, schema: Mapping[str, Any], least: str, most: str) -> Iterator[str]:
    low, high = _bound(schema, least), _bound(schema, most)
    if low is not None and size < low:
        yield f"{least}: {size}"
    if high is not None and size > high:
        yield f"{most}: {size}"


def _number(value: float, schema: Mapping[str, Any]) -> Iterator[str]:
    for name, fits in _BOUNDS.items():
        bound = _bound(schema, name)
        if bound is not None and not fits(value, bound):
            yield f"{name}: beyond it"


_BOUNDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
