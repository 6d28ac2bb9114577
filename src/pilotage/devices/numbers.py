"""Lists of numbers as the kernel and the Neuron runtime write them: ``0-3,8,10-11``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_MOST = 1 << 20


def parse_ranges(text: str) -> tuple[int, ...]:
    """``"0-2,5"`` as ``(0, 1, 2, 5)``; an empty text is no numbers.

    Raises:
        ValueError: It is something else.
    """
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"not a number or a range: {part[:40]!r}")
        first = int(match[1])
        last = int(match[2] or first)
        if last < first or last - first > _MOST:
            raise ValueError(f"not a range: {part!r}")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def format_ranges(numbers: Iterable[int]) -> str:
    """``(0, 1, 2, 5)`` as ``"0-2,5"``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
