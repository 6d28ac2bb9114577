"""What is wrong with a spec, in our own words: from pydantic's errors to lines that help."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pilotage.errors import SpecError
from pilotage.spec.fields import quantity_of
from pilotage.units import printable

Path = tuple[str | int, ...]
"""Where in the spec: keys and list positions, ``("deployments", 2, "slo", "ttft_p99")``."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: which field, and what about it."""

    path: Path
    message: str

    def error(self, where: str) -> SpecError:
        """The problem as an error at ``where``: one line, whatever the values quoted in it."""
        return SpecError(printable(self.message), where=where)

    def error_naming_field(self, where: str) -> SpecError:
        """As :meth:`error`, with the field before the message."""
        field = dotted(self.path)
        message = f"{field}: {self.message}" if field else self.message
        return SpecError(printable(message), where=where)


@dataclass(frozen=True)
class Written:
    """How a value was written, and what it was read as ("a number", "false", "a date")."""

    text: str
    read_as: str


class InvalidSpecError(SpecError):
    """Everything that is wrong with a spec, one :class:`SpecError` a problem, one a line.

    Args:
        problems: At least one.
    """

    def __init__(self, problems: list[SpecError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    def as_dict(self) -> dict[str, Any]:
        """As of any error, with all ``problems`` in the same form."""
        return {
            **super().as_dict(),
            "type": "SpecError",
            "problems": [problem.as_dict() for problem in self.problems],
        }


def as_error(problems: list[SpecError]) -> SpecError:
    """The one problem as it is, or several as an :class:`InvalidSpecError`."""
    return problems[0] if len(problems) == 1 else InvalidSpecError(problems)


def dotted(path: Path) -> str:
    """``path`` as people write it: ``deployments[2].slo.ttft_p99``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def find_problems(
    error: ValidationError, root: type[BaseModel], written: Mapping[Path, Written] | None = None
) -> Iterator[Problem]:
    """The problems behind ``error``, which validating a ``root`` raised.

    Args:
        error: What pydantic raised.
        root: The model that was validated; its fields are the names to suggest.
        written: What the user wrote, at the paths where the value alone does not tell.
    """
    for details in error.errors():
        path: Path = details["loc"]
        # Consequences of a problem that is reported already: of another field of the section, or
        # of the entries that a list lost because they are wrong.
        if details["type"] == "default_factory_not_called":
            continue
        if details["type"] == "too_short" and details["input"]:
            continue
        if details["type"] == "extra_forbidden":
            yield Problem(path, f"unknown key{_suggestion(root, path)}")
            continue
        context = details.get("ctx", {})
        path = (*path, *context.get("path", ()))
        original = (written or {}).get(path)
        if original is not None and details["type"] in ("string_type", "path_type"):
            text, read_as = original.text, original.read_as
            yield Problem(
                path, f'should be text, but YAML reads {text} as {read_as}; write "{text}"'
            )
            continue
        got = original.text if original is not None else _quote(details["input"])
        yield Problem(path, _message(details, got, root, path))


def _message(details: ErrorDetails, got: str, root: type[BaseModel], path: Path) -> str:
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"should be {words} {_formatter_at(root, path)(context[key])}, got {got}"
    if kind == "model_type" and (section := model_at(root, path)) is not None:
        return f"should be a section with keys such as {_first_keys(section)}; got {got}"
    if kind in _SENTENCES:
        return _SENTENCES[kind](context, got)
    return details["msg"][:1].lower() + details["msg"][1:]


def _choices(context: Mapping[str, Any], got: str) -> str:
    names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(got.strip('"'), names, n=1)
    meant = f'; did you mean "{near[0]}"?' if near else ""
    return f"should be one of {', '.join(names)}; got {got}{meant}"


def _pattern(context: Mapping[str, Any], got: str) -> str:
    if context["pattern"] == _VARIABLE:
        # What stands there instead of a name is likely the secret itself: it is not repeated.
        return "should be the name of an environment variable, such as API_KEY, and not its value"
    form = _PATTERNS.get(context["pattern"], f"text of the form {context['pattern']}")
    return f"should be {form}, got {got}"


_VARIABLE = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_PATTERNS = {
    "^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": "lower-case letters, digits and hyphens (at most 63)",
    r"^[!-~]+$": "printable ASCII without spaces",
}
_WHOLE = "should be a whole number, got "
_NUMBER = "should be a number, got "
_SENTENCES: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "missing": lambda context, got: "is required",
    "string_type": lambda context, got: f"should be text, got {got}",
    "int_type": lambda context, got: _WHOLE + got,
    "int_parsing": lambda context, got: _WHOLE + got,
    "int_from_float": lambda context, got: _WHOLE + got,
    "float_type": lambda context, got: _NUMBER + got,
    "float_parsing": lambda context, got: _NUMBER + got,
    "finite_number": lambda context, got: f"should be a finite number, got {got}",
    "bool_type": lambda context, got: f"should be true or false, got {got}",
    "bool_parsing": lambda context, got: f"should be true or false, got {got}",
    "path_type": lambda context, got: f"should be the path of a file, got {got}",
    "is_instance_of": lambda context, got: f"should be the path of a file, got {got}",
    "literal_error": _choices,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda context, got: "should not be empty",
    "string_too_long": lambda context, got: (
        f"should have at most {context['max_length']} characters"
    ),
    "too_short": lambda context, got: "should have at least one entry",
    "tuple_type": lambda context, got: f"should be a list, got {got}",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


def _first_keys(section: type[BaseModel]) -> str:
    return ", ".join(list(section.model_fields)[:3])


def _formatter_at(root: type[BaseModel], path: Path) -> Callable[[Any], str]:
    """What writes a value of the field at ``path``: with its unit, if it has one."""
    section = model_at(root, path[:-1])
    field = section.model_fields.get(str(path[-1])) if section is not None else None
    quantity = quantity_of(field) if field is not None else None
    return quantity.format if quantity is not None else _plain_number


def _plain_number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quote(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    text = text if len(text) <= 40 else f"{text[:36]}…"
    return f'"{text}"' if isinstance(value, str) else text


def _suggestion(root: type[BaseModel], path: Path) -> str:
    """The known key that was probably meant, or else all known keys of the section."""
    key, section = str(path[-1]), model_at(root, path[:-1])
    if section is None:
        return ""
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    elsewhere = _homes(root, key)
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere)}?"
    return f"; known keys: {', '.join(section.model_fields)}"


def _homes(root: type[BaseModel], key: str) -> list[str]:
    """The sections (one level down) that do have ``key``, as quoted dotted paths."""
    return [
        f'"{name}{"[]" if typing.get_origin(field.annotation) is tuple else ""}.{key}"'
        for name, field in root.model_fields.items()
        if (section := model_at(root, (name,))) is not None and key in section.model_fields
    ]


def model_at(root: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The section that stands at ``path`` below ``root``; None if none does."""
    section: type[BaseModel] | None = root
    for part in path:
        if section is None:
            return None
        if isinstance(part, str):
            field = section.model_fields.get(part)
            section = _model_in(field.annotation) if field else None
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        for inner in typing.get_args(annotation):
            if (found := _model_in(inner)) is not None:
                return found
    return None
