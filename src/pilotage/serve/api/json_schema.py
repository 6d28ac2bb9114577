"""Which JSON Schemas a client may send: those that the engine is known to compile, and keep to.

The engine compiles a schema inside a step that all running requests share. What its compiler
(xgrammar) cannot take ends them all, and what takes it long stalls them all. So a schema is
checked here, in full, and everything that is not known to be safe, cheap and obeyed is refused
by name. Keywords that the compiler knows and quietly ignores (``uniqueItems``, a second
``allOf``, ``minimum`` without a type …) are among the refused: an answer is what its schema says.

Objects are closed: where ``additionalProperties`` is absent the compiler generates the listed
properties only, in their order.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pilotage.serve.api.errors import bad_schema
from pilotage.serve.api.json_schema_pattern import check_pattern
from pilotage.serve.api.json_schema_references import check_references, target_of
from pilotage.serve.api.json_schema_values import (
    check_value,
    checked_bounds,
    checked_counts,
    is_of_type,
)

MAX_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 24
MAX_SUBSCHEMAS: Final = 512
MAX_VALUES: Final = 512  # of all enums and consts together
MAX_ITEMS: Final = 1000
MAX_COUNTED_CHARS: Final = 64  # each costs the compiler about 30 ms of CPU time
FORMATS: Final = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
)

_ANNOTATIONS: Final = frozenset({"$schema", "$id", "title", "description", "default", "examples"})
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_KEYWORDS_OF: Final = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_TYPED: Final = frozenset().union(*_KEYWORDS_OF.values())
# Each says alone what the value is: the compiler reads the first it finds and ignores the rest.
_WHOLE: Final = ("$ref", "anyOf", "allOf", "enum", "const")


def engine_schema(schema: dict[str, Any], where: str = "schema") -> str:
    """The JSON text to give to the engine for a client's schema.

    Args:
        schema: The client's JSON Schema, from strict JSON.
        where: What the client calls it, for error messages.

    Raises:
        ApiError: 400, naming the keyword and its path.
    """
    text = msgspec.json.encode(schema)
    if len(text) > MAX_BYTES:
        raise bad_schema(where, f"the schema is {len(text)} bytes; at most {MAX_BYTES} are taken")
    checked = _Checker(schema).check(schema, where, 0)
    check_references(schema, where)
    return msgspec.json.encode(checked).decode()


class _Checker:
    """Walks through one schema; `check` returns the subschema as the engine is to have it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._subschemas = 0
        self._values = 0
        self._counted_chars = 0

    def check(self, schema: Any, where: str, depth: int) -> Any:
        if schema is True and depth:
            return True
        if not isinstance(schema, dict):
            raise bad_schema(where, "a schema must be an object" + (" or true" if depth else ""))
        self._subschemas += 1
        if self._subschemas > MAX_SUBSCHEMAS:
            raise bad_schema(where, f"the schema has more than {MAX_SUBSCHEMAS} subschemas")
        if depth > MAX_DEPTH:
            raise bad_schema(where, f"the schema is nested deeper than {MAX_DEPTH} levels")
        self._check_keywords(schema, where, is_root=depth == 0)
        checked = {
            name: {
                key: self.check(value, f"{where}.{name}.{key}", depth + 1)
                for key, value in _object_of(schema[name], f"{where}.{name}").items()
            }
            for name in ("$defs", "definitions")
            if name in schema
        }
        whole = [name for name in _WHOLE if name in schema]
        if whole:
            return checked | self._check_whole(schema, whole, where, depth)
        types = _types_of(schema, where)
        if types:
            named = schema.get("type", types[0])
            checked["type"] = named
        self._check_belonging(schema, types, where)
        if "object" in types:
            checked |= self._check_object(schema, where, depth)
        if "array" in types:
            checked |= self._check_array(schema, where, depth)
        if "string" in types:
            checked |= self._check_string(schema, where)
        if "integer" in types or "number" in types:
            checked |= checked_bounds(schema, where, exclusive="number" not in types)
        return checked

    def _check_keywords(self, schema: dict[str, Any], where: str, *, is_root: bool) -> None:
        known = _ANNOTATIONS | _TYPED | {"type", *_WHOLE} | (_DEFINITIONS if is_root else set())
        for name in schema:
            if name not in known:
                raise bad_schema(f"{where}.{name[:64]}", "this keyword is not supported")

    def _check_whole(
        self, schema: dict[str, Any], whole: list[str], where: str, depth: int
    ) -> dict[str, Any]:
        name = whole[0]
        beside = [
            one for one in (*_WHOLE, "type", *sorted(_TYPED)) if one in schema and one != name
        ]
        if beside == ["type"] and name in {"enum", "const"}:
            beside = []
        if beside:
            raise bad_schema(f"{where}.{beside[0]}", f"it cannot stand beside {name}")
        value, place = schema[name], f"{where}.{name}"
        if name == "$ref":
            return {name: target_of(value, self._root, place)}
        if name in {"anyOf", "allOf"}:
            if not isinstance(value, list) or not value:
                raise bad_schema(place, "it must be a list of schemas, not empty")
            if name == "allOf" and len(value) > 1:
                raise bad_schema(place, "only one schema in allOf is supported")
            return {
                name: [
                    self.check(one, f"{place}[{index}]", depth + 1)
                    for index, one in enumerate(value)
                ]
            }
        return {name: self._check_values(schema, name, where)}

    def _check_values(self, schema: dict[str, Any], name: str, where: str) -> Any:
        value, place = schema[name], f"{where}.{name}"
        if name == "enum" and (not isinstance(value, list) or not value):
            raise bad_schema(place, "it must be a list of values, not empty")
        values = value if name == "enum" else [value]
        self._values += len(values)
        if self._values > MAX_VALUES:
            raise bad_schema(place, f"the schema lists more than {MAX_VALUES} values")
        types = _types_of(schema, where)
        for one in values:
            check_value(one, place)
            if types and not any(is_of_type(one, name) for name in types):
                raise bad_schema(place, "a value in it is not of the type beside it")
        return value

    @staticmethod
    def _check_belonging(schema: dict[str, Any], types: list[str], where: str) -> None:
        allowed = frozenset[str]().union(*(_KEYWORDS_OF[name] for name in types))
        for name in schema:
            if name in _TYPED and name not in allowed:
                owners = [kind for kind, names in _KEYWORDS_OF.items() if name in names]
                raise bad_schema(
                    f"{where}.{name}", f"it needs {' or '.join(owners)} as the type beside it"
                )

    def _check_object(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        properties = _object_of(schema.get("properties", {}), f"{where}.properties")
        for name in properties:
            if any(character in '"\\' or character < " " for character in name):
                raise bad_schema(
                    f"{where}.properties",
                    "a property's name with quotes, backslashes or control characters "
                    "is not supported",
                )
        if "properties" in schema:
            checked["properties"] = {
                name: self.check(value, f"{where}.properties.{name[:64]}", depth + 1)
                for name, value in properties.items()
            }
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise bad_schema(f"{where}.required", "it must be a list of names")
        if len(set(required)) < len(required):
            raise bad_schema(f"{where}.required", "a name is in it twice")
        for name in required:
            if name not in properties:
                raise bad_schema(f"{where}.required", f"{name[:64]!r} is not among the properties")
        if required:
            checked["required"] = required
        if "additionalProperties" in schema:
            more = schema["additionalProperties"]
            checked["additionalProperties"] = more is not False and self.check(
                more, f"{where}.additionalProperties", depth + 1
            )
        elif not properties:
            # Nothing is said of what is in it, so anything may be; the compiler would close it.
            checked["additionalProperties"] = True
        return checked

    def _check_array(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        prefix = schema.get("prefixItems", [])
        if "prefixItems" in schema:
            if not isinstance(prefix, list) or not prefix:
                raise bad_schema(f"{where}.prefixItems", "it must be a list of schemas, not empty")
            checked["prefixItems"] = [
                self.check(one, f"{where}.prefixItems[{index}]", depth + 1)
                for index, one in enumerate(prefix)
            ]
        items = schema.get("items", not prefix)
        # Without a word on items the compiler would allow none.
        checked["items"] = items is not False and self.check(items, f"{where}.items", depth + 1)
        least, most = checked_counts(schema, "minItems", "maxItems", where, MAX_ITEMS)
        if most is not None and most < len(prefix):
            raise bad_schema(f"{where}.maxItems", "it is less than the number of prefixItems")
        if items is False and least is not None and least > len(prefix):
            raise bad_schema(f"{where}.minItems", "there cannot be so many items")
        return checked | _given(schema, "minItems", "maxItems")

    def _check_string(self, schema: dict[str, Any], where: str) -> dict[str, Any]:
        checked_counts(schema, "minLength", "maxLength", where, MAX_COUNTED_CHARS)
        given = [name for name in ("pattern", "format") if name in schema]
        counted = [name for name in ("minLength", "maxLength") if name in schema]
        if len(given) + bool(counted) > 1:
            raise bad_schema(
                f"{where}.{(counted or given)[-1]}", f"it cannot stand beside {given[0]}"
            )
        self._count(max((schema[name] for name in counted), default=0), where)
        if "pattern" in schema:
            place = f"{where}.pattern"
            try:
                self._count(check_pattern(schema["pattern"]), place)
            except ValueError as error:
                raise bad_schema(place, str(error)) from None
        if "format" in schema and schema["format"] not in list(FORMATS):
            raise bad_schema(f"{where}.format", f"it must be one of {', '.join(sorted(FORMATS))}")
        return _given(schema, *given, *counted)

    def _count(self, chars: int, where: str) -> None:
        self._counted_chars += chars
        if self._counted_chars > MAX_COUNTED_CHARS:
            raise bad_schema(
                where,
                f"lengths and repetitions of strings add up to more than {MAX_COUNTED_CHARS} "
                "characters, which takes the engine too long to prepare; leave them out",
            )


def _types_of(schema: dict[str, Any], where: str) -> list[str]:
    """The types that a schema names, or that its keywords stand for without a name."""
    if "type" not in schema:
        implied = ("object", "array")
        return [name for name in implied if _KEYWORDS_OF[name] & schema.keys()][:1]
    named = schema["type"]
    types = named if isinstance(named, list) else [named]
    if not types or not all(isinstance(name, str) and name in _KEYWORDS_OF for name in types):
        raise bad_schema(f"{where}.type", f"it must be one or some of {', '.join(_KEYWORDS_OF)}")
    if len(set(types)) < len(types):
        raise bad_schema(f"{where}.type", "a type is in it twice")
    return types


def _object_of(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_schema(where, "it must be an object")
    return value


def _given(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: schema[name] for name in names if name in schema}
