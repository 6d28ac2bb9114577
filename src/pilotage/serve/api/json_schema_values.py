"""The values inside a JSON Schema: bounds, counts, and what enums and consts list."""

from __future__ import annotations

from typing import Any, Final

from pilotage.serve.api.errors import bad_schema

MAX_VALUE_DEPTH: Final = 24
MAX_BOUND: Final = 10**12
MAX_NUMBER: Final = 2**53 - 1


def checked_bounds(schema: dict[str, Any], where: str, *, exclusive: bool) -> dict[str, Any]:
    """The bounds of a number: whole, since the compiler misspells the dot of a decimal one."""
    bounds: dict[str, int] = {}
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if name not in schema:
            continue
        value = schema[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise bad_schema(f"{where}.{name}", "only whole numbers are supported")
        if abs(value) > MAX_BOUND:
            raise bad_schema(f"{where}.{name}", f"it must be within ±{MAX_BOUND}")
        if name.startswith("exclusive") and not exclusive:
            raise bad_schema(f"{where}.{name}", "for a number use minimum or maximum")
        bounds[name] = int(value)
    for name, other in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if name in bounds and other in bounds:
            raise bad_schema(f"{where}.{other}", f"it cannot stand beside {name}")
    least = bounds.get("minimum", bounds.get("exclusiveMinimum", -2 * MAX_BOUND) + 1)
    most = bounds.get("maximum", bounds.get("exclusiveMaximum", 2 * MAX_BOUND) - 1)
    if least > most:
        raise bad_schema(where, "no number is within its bounds")
    return bounds


def checked_counts(
    schema: dict[str, Any], least_name: str, most_name: str, where: str, largest: int
) -> tuple[int | None, int | None]:
    """The values of a pair of keywords such as ``minItems`` and ``maxItems``, if they are there."""
    for name in (least_name, most_name):
        value = schema.get(name, 0)
        if type(value) is not int or not 0 <= value <= largest:
            raise bad_schema(f"{where}.{name}", f"it must be an integer from 0 to {largest}")
    least, most = schema.get(least_name), schema.get(most_name)
    if least is not None and most is not None and least > most:
        raise bad_schema(f"{where}.{least_name}", f"it is more than {most_name}")
    return least, most


def check_value(value: Any, where: str, depth: int = 0) -> None:
    """Check that a listed value is one that the compiler writes as it is."""
    if depth > MAX_VALUE_DEPTH:
        raise bad_schema(where, f"a value in it is nested deeper than {MAX_VALUE_DEPTH} levels")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > MAX_NUMBER:
            raise bad_schema(where, f"a number in it is beyond ±{MAX_NUMBER}")
    elif isinstance(value, list):
        for one in value:
            check_value(one, where, depth + 1)
    elif isinstance(value, dict):
        for one in value.values():
            check_value(one, where, depth + 1)


def is_of_type(value: Any, name: str) -> bool:
    """Whether a JSON value is of one of JSON Schema's types."""
    if name == "integer":
        return type(value) is int or (type(value) is float and value.is_integer())
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "number": int | float,
        "boolean": bool,
        "null": type(None),
    }
    return isinstance(value, kinds[name]) and (name != "number" or not isinstance(value, bool))
