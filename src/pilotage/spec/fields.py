"""What every section of the spec is made of: its base class and the types of its fields.

:data:`Duration`, :data:`Size`, :data:`Rate` and :data:`Count` take text with units or a plain
number (seconds, bytes, per second, a number), hold the number, and turn back into readable text in
JSON mode (``section.model_dump(mode="json")``).
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from pilotage import units


@dataclass(frozen=True)
class Quantity:
    """Marks a type that is written with units.

    Attributes:
        kind: Its name in the documentation: "duration", "size", "rate" or "count".
        format: Writes a value with its unit.
    """

    kind: str
    format: Callable[[Any], str]


def quantity_of(field: FieldInfo) -> Quantity | None:
    """How the values of ``field`` are written with units; None if they have none."""
    nested = (
        item
        for annotation in typing.get_args(field.annotation)
        for item in getattr(annotation, "__metadata__", ())
    )
    return next((item for item in (*field.metadata, *nested) if isinstance(item, Quantity)), None)


def _tidy_schema(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Make pydantic's JSON Schema of a section say exactly what a spec file may hold."""
    if "required" not in schema:
        schema["type"] = ["object", "null"]  # an empty section is one with all defaults
    for name, field in model.model_fields.items():
        # A copy: pydantic hands out the one dictionary of an annotated type for every field of it.
        entry = schema["properties"][name] = copy.deepcopy(schema["properties"][name])
        options = entry.get("anyOf", [])
        for option in [option for option in options if "anyOf" in option]:
            # Flat alternatives: editors list them side by side.
            place = options.index(option)
            options[place : place + 1] = option.pop("anyOf")
            entry.update(option)
        quantity = quantity_of(field)
        if quantity is not None:
            options[0].update(_bounds(field))
            for misplaced in ("gt", "ge", "le", "exclusiveMinimum", "minimum", "maximum"):
                entry.pop(misplaced, None)
            if isinstance(entry.get("default"), int | float):
                entry["default"] = quantity.format(entry["default"])
        if entry.get("default") is None or isinstance(entry["default"], dict):
            entry.pop("default", None)


def _bounds(field: FieldInfo) -> dict[str, Any]:
    """The bounds of ``field`` as JSON Schema keywords."""
    words = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum"}
    return {
        words[name]: getattr(bound, name)
        for bound in field.metadata
        for name in words
        if hasattr(bound, name)
    }


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent conversion ("8000" is no port)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        protected_namespaces=(),
        json_schema_extra=_tidy_schema,
        field_title_generator=lambda name, _: name,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, data: Any) -> Any:
        # "serving:" with every line below it commented out is null in YAML.
        return {} if data is None else data


def _quantity_schema(pattern: str, *examples: str, number: str = "number") -> WithJsonSchema:
    options = [{"type": number}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({"anyOf": options, "examples": list(examples)}, mode="validation")


Duration = Annotated[
    float,
    BeforeValidator(units.parse_duration),
    PlainSerializer(units.format_duration, return_type=str, when_used="json"),
    Quantity("duration", units.format_duration),
    _quantity_schema(units.DURATION_PATTERN, "400ms", "1.5s", "2m", "1h"),
]
"""Seconds; written "400ms", "1.5s", "2m", "1h"."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.format_size, return_type=str, when_used="json"),
    Quantity("size", units.format_size),
    _quantity_schema(units.SIZE_PATTERN, "512MiB", "24GiB", "20GB"),
]
"""Bytes; written "24GiB" (1024s) or "20GB" (thousands)."""

Rate = Annotated[
    float,
    BeforeValidator(units.parse_rate),
    PlainSerializer(units.format_rate, return_type=str, when_used="json"),
    Quantity("rate", units.format_rate),
    _quantity_schema(units.RATE_PATTERN, "20/s", "100/min", "50K/day"),
]
"""Events a second; written "20/s", "100/min", "50K/day"."""

Count = Annotated[
    int,
    BeforeValidator(units.parse_count),
    Quantity("count", str),
    _quantity_schema(units.COUNT_PATTERN, "500", "8K", number="integer"),
]
"""A whole number; may be written "8K"."""


def resolve_path(text: str, info: ValidationInfo) -> Path:
    """The absolute path that ``text`` names.

    A relative path starts at the folder of the spec file (the validation context's ``folder``), or
    where there is no file at the working folder; ``~`` is the home folder.
    """
    folder = Path(info.context["folder"]) if info.context else Path.cwd()
    path = Path(text)
    if text.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise ValueError(f'there is no home folder for "{path.parts[0]}"') from None
    return (folder / path).absolute()


def _as_path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        if not value or "\0" in value:
            raise ValueError("should be the path of a file")
        path = resolve_path(value, info)
        # Strict validation takes a Path from Python and, because JSON has none, text from JSON.
        return str(path) if info.mode == "json" else path
    return value


LocalPath = Annotated[Path, BeforeValidator(_as_path)]
"""A path on this machine; relative ones start at the spec file's folder."""
