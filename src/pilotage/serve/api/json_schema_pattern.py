"""The part of regular expressions that the engine's compiler reads as JSON Schema means it.

Literals, classes, groups, alternatives and repetition between ``^`` and ``$``. Outside of it are:
patterns without anchors (the compiler would match the whole string, JSON Schema any part), ``.``
and negated classes (the compiler would let quotes and line ends into a JSON string), look-around,
back references and flags.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_CHARS: Final = 256
MAX_DEPTH: Final = 8

_CLASS_CHARS = re.compile(r"(?:[A-Za-z0-9_ .,:;@#%&+=!/<>~'*?()|{}$-]|\\[dw.\\\-])+")
_LITERAL = re.compile(r"[A-Za-z0-9_ ,:;@#%&=!/<>~'-]|\\[dw.+*?()|{}$^/\[\]-]")
_REPEAT = re.compile(r"\?|\*|\+|\{(\d{1,4})(?:,(\d{0,4}))?\}")


def check_pattern(pattern: Any) -> int:
    """How many characters a pattern spells out, with every ``{m,n}`` at its most.

    Raises:
        ValueError: The pattern is outside of the supported part; the message says how.
    """
    if not isinstance(pattern, str) or len(pattern) > MAX_CHARS:
        raise ValueError(f"it must be a string of at most {MAX_CHARS} characters")
    if len(pattern) < 2 or pattern[0] != "^" or pattern[-1] != "$" or pattern[-2:] == "\\$":
        raise ValueError("a pattern must begin with ^ and end with $")
    reader = _Reader(pattern[1:-1])
    counted = reader.alternatives(0)
    if reader.rest:
        raise ValueError(f"{reader.rest[:16]!r} in a pattern is not supported")
    return counted


class _Reader:
    """Recursive descent; every method returns how many characters it has read."""

    def __init__(self, rest: str) -> None:
        self.rest = rest

    def alternatives(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ValueError(f"a pattern's groups may be {MAX_DEPTH} deep")
        counted = self._sequence(depth)
        several = self.rest.startswith("|")
        while self._skip("|"):
            counted += self._sequence(depth)
        if several and depth == 0:
            # `^a|b$` is `^a` or `b$`.
            raise ValueError("alternatives in a pattern must be in parentheses")
        return counted

    def _sequence(self, depth: int) -> int:
        counted, atoms = 0, 0
        while self.rest and self.rest[0] not in "|)":
            counted += self._atom(depth)
            atoms += 1
        if not atoms:
            raise ValueError("an empty alternative in a pattern is not supported")
        return counted

    def _atom(self, depth: int) -> int:
        if self._skip("(?:") or self._skip("("):
            inner = self.alternatives(depth + 1)
            if not self._skip(")"):
                raise ValueError("a parenthesis in the pattern is not closed")
            return self._repeated(max(1, inner))
        if self._skip("["):
            self._class()
        else:
            literal = _LITERAL.match(self.rest)
            if literal is None:
                raise ValueError(f"{self.rest[:16]!r} in a pattern is not supported")
            self.rest = self.rest[literal.end() :]
        return self._repeated(1)

    def _class(self) -> None:
        members = _CLASS_CHARS.match(self.rest)
        text = members[0] if members else ""
        self.rest = self.rest[len(text) :]
        if not text or not self._skip("]"):
            raise ValueError("this character class in the pattern is not supported")
        try:
            members_of = re.compile(f"[{text}]")
        except re.error:
            raise ValueError("this character class in the pattern is not valid") from None
        # Inside a JSON string these are escapes, of which the compiler knows nothing.
        if members_of.fullmatch('"') or members_of.fullmatch("\\"):
            raise ValueError("a character class in a pattern may not have quotes or backslashes")

    def _repeated(self, counted: int) -> int:
        repeat = _REPEAT.match(self.rest)
        if repeat is None:
            return counted
        self.rest = self.rest[repeat.end() :]
        if repeat[0] in "?*+":
            return counted
        least = int(repeat[1])
        most = int(repeat[2]) if repeat[2] else max(least, repeat[2] == "")  # "{0,}" is "*"
        if most < least or most == 0:
            raise ValueError(f"the repetition {repeat[0]} in the pattern is not valid")
        return counted * most

    def _skip(self, text: str) -> bool:
        if not self.rest.startswith(text):
            return False
        self.rest = self.rest[len(text) :]
        return True
