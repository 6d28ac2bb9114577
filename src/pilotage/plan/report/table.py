"""A table of facts as plain data, which the terminal and the HTML page both draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad"]

SYMBOLS: dict[Tone, str] = {"": "", "good": "✓", "bad": "✗"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One value.

    Attributes:
        text: What it says.
        detail: Small print that belongs to it.
        tone: How it is to be taken; views add colour and a symbol.
    """

    text: str
    detail: str = ""
    tone: Tone = ""

    @property
    def marked(self) -> str:
        """The text behind the symbol of its tone."""
        return f"{SYMBOLS[self.tone]} {self.text}" if self.tone else self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title.

    Attributes:
        name: For programs and tests: a word that stays.
        title: For people.
        head: Names of the columns; empty for a list of labels and values.
        rows: A cell for each column.
        words: Columns that hold words and are set flush left.
        note: What a reader must know.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset({0})
    note: str = ""
