"""What every section of the spec is made of: its base class and the types of its fields.

:data:`Duration`, :data:`Size`, :data:`Rate` and :data:`Count` take text with units or a plain
number (seconds, bytes, per second, a number), hold the number, and turn back into readable text in
JSON mode (``section.model_dump(mode="json")``).
"""

from __future__ import annotations

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

from pilotage import units


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent conversion ("8000" is no port)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, data: Any) -> Any:
        # "serving:" with every line below it commented out is null in YAML.
        return {} if data is None else data


def _quantity_schema(kind: str, pattern: str, examples: list[str]) -> WithJsonSchema:
    """A number or a text with units; ``x-kind`` lets the documentation name the type."""
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}],
            "examples": examples,
            "x-kind": kind,
        },
        mode="validation",
    )


Duration = Annotated[
    float,
    BeforeValidator(units.parse_duration),
    PlainSerializer(units.format_duration, return_type=str, when_used="json"),
    _quantity_schema("duration", units.DURATION_PATTERN, ["400ms", "1.5s", "2m", "1h"]),
]
"""Seconds; written "400ms", "1.5s", "2m", "1h"."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.format_size, return_type=str, when_used="json"),
    _quantity_schema("size", units.SIZE_PATTERN, ["512MiB", "24GiB", "20GB"]),
]
"""Bytes; written "24GiB" (1024s) or "20GB" (thousands)."""

Rate = Annotated[
    float,
    BeforeValidator(units.parse_rate),
    PlainSerializer(units.format_rate, return_type=str, when_used="json"),
    _quantity_schema("rate", units.RATE_PATTERN, ["20/s", "100/min", "50K/day"]),
]
"""Events a second; written "20/s", "100/min", "50K/day"."""

Count = Annotated[
    int,
    BeforeValidator(units.parse_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": units.COUNT_PATTERN},
            ],
            "examples": [500, "8K"],
            "x-kind": "count",
        },
        mode="validation",
    ),
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
        return resolve_path(value, info)
    return value


LocalPath = Annotated[Path, BeforeValidator(_as_path)]
"""A path on this machine; relative ones start at the spec file's folder."""
