"""A YAML file as plain data that remembers where each value stood.

YAML 1.1, which PyYAML reads, has traps: ``no`` is a boolean, ``0777`` is 511, ``80:80`` is 4880, an
alias can unfold into gigabytes. Values are read here from the node tree, so that a trap becomes a
sentence with a line number and no value arrives that differs from what the author sees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from pilotage.errors import SpecError
from pilotage.spec.problems import Path, Problem, Written

_MOST_NODES = 20_000
_DEEPEST = 20
_TAG = "tag:yaml.org,2002:"
_KINDS = ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value")
_LONGEST_NUMBER = 400
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|nan)", re.IGNORECASE)


@dataclass(frozen=True)
class Misfit:
    """A scalar that is no text, number, boolean or null, such as a date. No field takes it."""

    kind: str


@dataclass
class YamlData:
    """What a YAML text says, and where.

    Attributes:
        data: Dictionaries, lists and scalars.
        lines: Line of each path, from 1.
        written: How scalars that YAML did not read as text were written.
        problems: What could not be read, with its line.
        unread: Paths that are left out of ``data`` for such a problem.
    """

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    written: dict[Path, Written] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def line_of(self, path: Path) -> int:
        """The line of ``path``, or of the nearest section around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _BoundedLoader(yaml.SafeLoader):
    """Composes a node tree no larger and no deeper than a spec can be."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(
                f'"*{event.anchor}": anchors and aliases are not supported; repeat the value',
                event.start_mark,
            )
        if self.nodes > _MOST_NODES:
            raise _Refused(f"more than {_MOST_NODES} values; no spec is so large", event.start_mark)
        if self.depth >= _DEEPEST:
            raise _Refused(f"nested more than {_DEEPEST} levels deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def read_yaml(text: str, filename: str) -> YamlData:
    """The data of ``text``.

    Raises:
        SpecError: The text is no YAML; ``where`` holds ``filename`` and the line.
    """
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"a character that YAML does not allow (U+{ord(text[error.position]):04X})",
            where=f"{filename}:{line}",
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(_syntax_message(error), where=f"{filename}:{line}") from None
    result = YamlData()
    if node is not None:
        result.lines[()] = node.start_mark.line + 1
        result.data = _value(node, (), result)
    return result


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "unreadable"
    if isinstance(error, _Refused):
        return problem
    if "'\\t'" in problem:
        return "YAML syntax: a tab; indent with spaces"
    if "expected a single document" in (error.context or ""):
        return "YAML syntax: a second document begins here (---); a spec file holds one"
    since = ""
    if error.context and error.context_mark:
        since = f" ({error.context} that began in line {error.context_mark.line + 1})"
    return f"YAML syntax: {problem}{since}"


_LEFT_OUT = object()


def _value(node: yaml.Node, path: Path, result: YamlData) -> Any:
    kind = node.tag.removeprefix(_TAG)
    if kind not in _KINDS:
        return _leave_out(
            node, path, f"the YAML tag {node.tag} is not supported; remove it", result
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, result)
    if isinstance(node, yaml.SequenceNode):
        values = []
        for index, item in enumerate(node.value):
            result.lines[(*path, index)] = item.start_mark.line + 1
            value = _value(item, (*path, index), result)
            values.append(None if value is _LEFT_OUT else value)
        return values
    if kind in ("int", "float"):
        return _number(node, path, result)
    return _scalar(node, kind, path, result)


def _mapping(node: yaml.MappingNode, path: Path, result: YamlData) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            _leave_out(key_node, path, "a key should be a word, not a list or a section", result)
            continue
        key_path = (*path, key_node.value)
        if key_path in result.lines:
            first = result.lines[key_path]
            again = Problem(key_path, f"given twice, first in line {first}")
            result.problems.append((key_node.start_mark.line + 1, again))
            continue
        result.lines[key_path] = key_node.start_mark.line + 1
        value = _value(value_node, key_path, result)
        if value is not _LEFT_OUT:
            values[key_node.value] = value
    return values


def _number(node: yaml.Node, path: Path, result: YamlData) -> Any:
    text = str(node.value)
    shown = _shortened(text)
    result.written[path] = Written(shown, "a number")
    if _DECIMAL.fullmatch(text):
        if len(text) > _LONGEST_NUMBER:
            return _leave_out(node, path, f"{shown} is too large a number", result)
        return float(text) if node.tag == f"{_TAG}float" else int(text)
    if (special := _SPECIAL.fullmatch(text)) is not None:
        return float("".join(special.groups()))
    message = (
        f"YAML versions disagree on what {shown} means; "
        f'write a plain decimal number, or "{shown}" for text'
    )
    return _leave_out(node, path, message, result)


def _scalar(node: yaml.Node, kind: str, path: Path, result: YamlData) -> Any:
    text = str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        truth = text.lower() in ("yes", "true", "on")
        result.written[path] = Written(_shortened(text), str(truth).lower())
        return truth
    if kind == "timestamp":
        result.written[path] = Written(_shortened(text), "a date")
        return Misfit("date")
    return text


def _leave_out(node: yaml.Node, path: Path, message: str, result: YamlData) -> Any:
    result.problems.append((node.start_mark.line + 1, Problem(path, message)))
    result.unread.add(path)
    return _LEFT_OUT


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:36]}…"
