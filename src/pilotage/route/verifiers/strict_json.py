"""JSON as the standard has it: no NaN, no name twice in an object, no endless depth."""

from __future__ import annotations

import json
from typing import Any, Final

_MAX_CHARS: Final = 4 << 20


def parsed(text: str) -> Any:
    """The value that a text is.

    Raises:
        ValueError: It is not JSON, or not worth the time to read.
    """
    if len(text) > _MAX_CHARS:
        raise ValueError("too long")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
