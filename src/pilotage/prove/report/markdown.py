"""The report as a page to paste into a pull request."""

from __future__ import annotations

from pilotage.prove.report import figures
from pilotage.prove.report.background import cautions, repeat_text, sections
from pilotage.prove.report.facts import headline
from pilotage.prove.report.table import Cell, Table
from pilotage.prove.result import Report

_ESCAPES = str.maketrans(
    {
        **{char: f"\\{char}" for char in "\\`*_[]|~#"},
        "<": "&lt;",
        ">": "&gt;",
        "\n": " ",
        "\r": " ",
    }
)
_SYMBOLS = {"bad": "✗", "unsure": "⚠", "good": "✓", "": "•"}


def markdown_page(report: Report) -> str:
    """The whole report in GitHub's Markdown."""
    head = headline(report)
    parts = [
        f"## {head.symbol} {escaped(report.name)}: {escaped(head.title)}",
        escaped(head.sentence),
    ]
    notes = [f"- {_SYMBOLS[tone]} {escaped(text)}" for tone, text in cautions(report)]
    if notes:
        parts.append("\n".join(notes))
    parts.extend(markdown_table(table) for table in sections(report))
    command, sentence = repeat_text(report)
    parts.append("### How to repeat it")
    if command:
        parts.append(f"    {' '.join(command.split())}")
    parts.append(escaped(sentence))
    parts.append(
        f"Measured by Pilotage {escaped(report.pilotage)} on "
        f"{escaped(figures.when(report.created_at))}; "
        f"percentiles with {figures.confidence(report.verdict.confidence)} confidence intervals."
    )
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A table with its title and note."""
    width = len(table.head) or max((len(row) for row in table.rows), default=1)
    marks = ["---" if column in table.text_columns else "--:" for column in range(width)]
    lines = [
        _line([escaped(name) for name in table.head] or [""] * width),
        _line(marks),
        *(_line([_cell(cell) for cell in row]) for row in table.rows),
    ]
    parts = [f"### {escaped(table.title)}", "\n".join(lines)]
    if table.note:
        parts.append(escaped(table.note))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """``text`` with nothing in it that Markdown or HTML would take for its own."""
    return text.translate(_ESCAPES)


def _cell(cell: Cell) -> str:
    text = _code(cell.text) if cell.verbatim and cell.text else escaped(cell.text)
    detail = f" ({escaped(cell.detail)})" if cell.detail else ""
    return f"{cell.symbol}{text}{detail}"


def _code(text: str) -> str:
    """Someone else's words as code: no mention, link or mark-up in them comes alive."""
    fence = "``" if "`" in text else "`"
    padding = " " if "`" in text else ""
    # Two backticks are the longest fence here, so a run of them inside is thinned out.
    inside = " ".join(text.replace("``", "'").split()).replace("|", "\\|")
    return f"{fence}{padding}{inside}{padding}{fence}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
