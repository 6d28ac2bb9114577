"""Writes Terraform's language in the form that ``terraform fmt`` leaves as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Raw:
    """An expression that is written as it is."""

    text: str


def document(blocks: Iterable[str]) -> str:
    """A file of blocks, one empty line between them."""
    return "\n\n".join(blocks) + "\n"


def block(kind: str, names: Sequence[str], body: Mapping[str, Any]) -> str:
    """A block such as ``variable "name" { … }``.

    Args:
        kind: Such as "module".
        names: Its labels.
        body: Attributes: texts, numbers, truth values, lists, maps, `Raw`.
    """
    head = " ".join((kind, *(json.dumps(name) for name in names)))
    if not body:
        return f"{head} {{}}"
    return f"{head} {{\n" + "\n".join(_attributes(body, 1)) + "\n}"


def _attributes(body: Mapping[str, Any], depth: int) -> list[str]:
    """Lines of attributes: neighbours of one line align their signs, longer ones stand alone."""
    lines: list[str] = []
    run: list[tuple[str, str]] = []

    def flush() -> None:
        width = max((len(name) for name, _ in run), default=0)
        lines.extend(f"{'  ' * depth}{name:<{width}} = {value}" for name, value in run)
        run.clear()

    for name, content in body.items():
        value = _value(content, depth)
        if "\n" not in value:
            if lines and not run and lines[-1]:
                lines.append("")
            run.append((_key(name), value))
            continue
        flush()
        if lines and lines[-1]:
            lines.append("")
        lines.append(f"{'  ' * depth}{_key(name)} = {value}")
    flush()
    return lines


def _value(content: Any, depth: int) -> str:
    if isinstance(content, Raw):
        return content.text
    if isinstance(content, str):
        return quoted(content)
    if isinstance(content, bool | int | float):
        return json.dumps(content)
    if isinstance(content, Mapping):
        inside = "\n".join(_attributes(content, depth + 1))
        return f"{{\n{inside}\n{'  ' * depth}}}" if content else "{}"
    return _list(content, depth)


def _list(content: Iterable[Any], depth: int) -> str:
    """On one line while it is short; else a line for each, as ``terraform fmt`` keeps both."""
    inner, outer = "  " * (depth + 1), "  " * depth
    values = [_value(one, depth + 1) for one in content]
    on_one_line = f"[{', '.join(values)}]"
    if len(on_one_line) <= 80 and "\n" not in on_one_line:
        return on_one_line
    return "[\n" + "".join(f"{inner}{value},\n" for value in values) + f"{outer}]"


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """A text in which nothing is a template: ``${`` and ``%{`` are doubled."""
    escaped = json.dumps(text, ensure_ascii=False)
    return escaped.replace("${", "$${").replace("%{", "%%{")
