"""A table of facts as plain data: what the terminal, Markdown and HTML all draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "bad", "unsure"]

_SYMBOLS: dict[Tone, str] = {"": "", "good": "✓ ", "bad": "✗ ", "unsure": "? "}


@dataclass(frozen=True)
class Cell:
    """One value.

    Attributes:
        text: What it says.
        detail: What belongs to it in small print, such as its interval.
        tone: How it is to be taken; views add colour and a symbol.
        verbatim: Whether the text is someone else's (a server's message, a name) and must be
            shown as it is.
    """

    text: str
    detail: str = ""
    tone: Tone = ""
    verbatim: bool = False

    @property
    def symbol(self) -> str:
        """The tone without colour: "✓ ", "✗ ", "? " or nothing."""
        return _SYMBOLS[self.tone]

    def __str__(self) -> str:
        """The cell on one line, its detail in brackets."""
        text = f"{self.symbol}{self.text}"
        return f"{text} ({self.detail})" if self.detail else text


@dataclass(frozen=True)
class Table:
    """Rows under a title.

    Attributes:
        name: For programs: a word that stays, such as "latency".
        title: For people.
        head: Names of the columns; empty for a list of labels and values.
        rows: A cell for each column; no rows means that there is nothing to show.
        note: What a reader must know to read it.
        text_columns: Columns that hold words and are set flush left, the first included.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    text_columns: frozenset[int] = frozenset({0})

    def plain(self) -> tuple[tuple[str, ...], ...]:
        """The rows as text, for a terminal."""
        return tuple(tuple(str(cell) for cell in row) for row in self.rows)


def facts_table(name: str, title: str, facts: list[tuple[str, Cell]], note: str = "") -> Table:
    """A table of labels and values; facts without a value are left out."""
    rows = tuple((Cell(label), cell) for label, cell in facts if cell.text)
    return Table(name, title, (), rows, note, frozenset({0, 1}))
