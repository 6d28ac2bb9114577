"""Configurations that have an engine run Python out of a repository.

``"auto_map": {"AutoModel": "modeling.Model"}`` in a configuration names a class in a Python file
beside it, or (``"other/repo--modeling.Model"``) in any other repository of the hub.
``trust_remote_code=False`` is to keep it from being run, and has been bypassed more than once
(CVE-2025-66448, CVE-2026-22807, CVE-2026-27893, CVE-2026-5241). So it does not get here unnamed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.selection import Selection

_KEYS: Final = ("auto_map", "custom_pipelines")
_MAX_CONFIG: Final = 16 << 20

_log = logging.getLogger(__name__)


def may_name_code(file: FileEntry) -> bool:
    """Whether it is a configuration: ``config.json``, ``tokenizer_config.json`` and the like."""
    return PurePosixPath(file.path).name.lower().endswith("config.json")


def named_code(path: Path) -> tuple[str, ...]:
    """The classes that a configuration has an engine load from Python files; sorted.

    Raises:
        SourceError: It is too large to be a configuration.
        OSError: The file cannot be read.
    """
    if path.stat().st_size > _MAX_CONFIG:
        raise SourceError(f"{path.name} is too large to be a configuration, {_MAX_CONFIG:,} bytes")
    found: set[str] = set()

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Of a key that comes twice, readers take either; here both count.
        for key, value in pairs:
            if key in _KEYS and value:
                found.update(_strings(value) or {key})
        return dict(pairs)

    with suppress(ValueError, RecursionError):  # then no engine reads it either
        json.loads(path.read_bytes(), object_pairs_hook=look)
    return tuple(sorted(found))


def check_configs(
    files: Iterable[FileEntry], folder: Path, selection: Selection, *, where: str
) -> None:
    """Refuse configurations among `files` that name code, unless a pattern names them in full.

    One that is let through is logged as a warning.

    Args:
        files: Of the manifest; what is no configuration is not read.
        folder: Where they are.
        selection: What the user asked for.
        where: The source, for messages.

    Raises:
        SourceError: One names code.
        OSError: One cannot be read.
    """
    for file in files:
        if not may_name_code(file):
            continue
        code = named_code(folder / file.path)
        listed = ", ".join(ascii(name[:80]) for name in code[:3])
        if code and not selection.names(file.path):
            raise SourceError(
                f"{file.path} has engines run Python that is not this machine's ({listed}), which "
                "is refused by default",
                where=where,
                hint="Choose a model that engines know by themselves, or, if you trust its "
                f"authors, name the file: --include '*' --include '{file.path}'",
            )
        if code:
            _log.warning(
                "%s: %s is taken because a pattern names it, and has engines run Python from "
                "elsewhere: %s",
                where,
                file.path,
                listed,
            )


def _strings(value: Any) -> set[str]:
    found: set[str] = set()
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            found.add(node)
        elif isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return found
