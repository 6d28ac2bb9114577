"""The sections and their fields as data: what the documentation and the CLI flags are made from."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pilotage.spec.fields import Section, quantity_of

FieldKind = Literal[
    "text", "path", "US dollars", "whole number", "number", "true or false", "choice", "section",
    "list", "mapping", "duration", "size", "rate", "count",
]  # fmt: skip
_KIND_OF: dict[Any, FieldKind] = {
    str: "text",
    Path: "path",
    Decimal: "US dollars",
    int: "whole number",
    float: "number",
    bool: "true or false",
}


@dataclass(frozen=True)
class FieldReference:
    """One field of a section.

    Attributes:
        name: The key in YAML.
        kind: What it takes.
        choices: The values of a choice; empty for every other kind.
        default: The default as one would write it; None if it is required or derived.
        required: Whether a section without it is refused.
        description: What it means.
    """

    name: str
    kind: FieldKind
    choices: tuple[str, ...]
    default: str | None
    required: bool
    description: str


def fields_of(section: type[Section]) -> Iterator[FieldReference]:
    """The fields of ``section`` in the order of the model."""
    for name, field in section.model_fields.items():
        annotation = _without_none(field.annotation)
        choices = typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()
        yield FieldReference(
            name=name,
            kind=_kind(annotation, field),
            choices=choices,
            default=_default(field),
            required=field.is_required(),
            description=field.description or "",
        )


def sections_in(root: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Every section below ``root`` with its dotted path, outer ones first."""
    for name, field in root.model_fields.items():
        section = _section_in(_without_none(field.annotation))
        if section is not None:
            yield f"{prefix}{name}", section
            yield from sections_in(section, f"{prefix}{name}.")


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds: one, a list of them, or lists of them by name."""
    if typing.get_origin(annotation) in (tuple, dict):
        inner = [one for one in typing.get_args(annotation) if one is not Ellipsis]
        return _section_in(_without_none(inner[-1]))
    is_section = isinstance(annotation, type) and issubclass(annotation, Section)
    return annotation if is_section else None


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``, bare of its metadata."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        [annotation] = [one for one in typing.get_args(annotation) if one is not types.NoneType]
    return (
        getattr(annotation, "__origin__", annotation) if _is_annotated(annotation) else annotation
    )


def _is_annotated(annotation: Any) -> bool:
    return hasattr(annotation, "__metadata__")


def _kind(annotation: Any, field: FieldInfo) -> FieldKind:
    quantity = quantity_of(field)
    if quantity is not None:
        return typing.cast("FieldKind", quantity.kind)
    if typing.get_origin(annotation) is Literal:
        return "choice"
    if typing.get_origin(annotation) is tuple:
        return "list"
    if typing.get_origin(annotation) is dict:
        return "mapping"
    if issubclass(annotation, BaseModel):
        return "section"
    return _KIND_OF[annotation]


def _default(field: FieldInfo) -> str | None:
    derived = field.is_required() or field.default_factory is not None
    value = field.default
    if derived or value is None or isinstance(value, BaseModel) or value in ((), {}):
        return None
    quantity = quantity_of(field)
    if quantity is not None:
        return quantity.format(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
