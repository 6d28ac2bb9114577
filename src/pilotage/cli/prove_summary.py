"""A report as it ends in the terminal: the verdict, and the tables that every view shows."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from pilotage.prove.report import Cell, Table, cautions, figures, headline, sections
from pilotage.prove.result import Report

_STYLES = {"good": "green", "bad": "red", "unsure": "yellow", "": ""}
_LEFT_OUT = frozenset({"setup", "validity"})
"""Tables that are in the files and that few want to see each time."""


def summary(report: Report) -> RenderableType:
    """The report for a terminal."""
    head = headline(report)
    style = _STYLES[head.tone]
    parts: list[RenderableType] = [
        Text(f"\n{head.symbol} {head.title}", style=f"bold {style}"),
        Text(head.sentence),
    ]
    parts.extend(Text(f"  {text}", style=_STYLES[tone]) for tone, text in cautions(report))
    for table in sections(report):
        if table.name == "latency":
            parts.append(_latencies(report))
        elif table.name not in _LEFT_OUT:
            parts.append(drawn(table))
    return Group(*parts)


def _latencies(report: Report) -> RenderableType:
    """The latencies on as few columns as a terminal has."""
    level = figures.confidence(report.verdict.confidence)
    rich = RichTable(box=None, pad_edge=False, header_style="dim", padding=(0, 2))
    for name in ("", "p50", "p90", "p99", f"{level} interval", "max"):
        rich.add_column(name, justify="right" if name else "left", no_wrap=True)
    measured = report.measures
    for name, found in (
        ("TTFT", measured.ttft),
        ("TPOT", measured.tpot),
        ("ITL", measured.itl),
        ("end to end", measured.e2e),
        ("queue", measured.queue),
    ):
        if found is not None:
            rich.add_row(
                name,
                *(_value(estimate.value) for estimate in (found.p50, found.p90, found.p99)),
                Text(figures.interval(found.p99.low, found.p99.high), style="dim"),
                figures.seconds(found.max),
            )
    return Group(Text("\nLatency, from when a request was due", style="bold"), rich)


def _value(seconds: float | None) -> str:
    return "failed" if seconds is None else figures.seconds(seconds)


def drawn(table: Table) -> RenderableType:
    """A table of facts for a terminal."""
    rich = RichTable(
        box=None, pad_edge=False, show_header=bool(table.head), header_style="dim", padding=(0, 2)
    )
    columns = max([len(table.head), *(len(row) for row in table.rows)])
    for place in range(columns):
        rich.add_column(
            table.head[place] if table.head else "",
            justify="left" if place in table.text_columns else "right",
            overflow="fold",
        )
    for row in table.rows:
        rich.add_row(*(_text(cell) for cell in row))
    parts: list[RenderableType] = [Text(f"\n{table.title}", style="bold"), rich]
    if table.note:
        parts.append(Text(table.note, style="dim"))
    return Group(*parts)


def _text(cell: Cell) -> Text:
    text = Text(f"{cell.symbol}{cell.text}", style=_STYLES[cell.tone])
    if cell.detail:
        text.append(f" {cell.detail}", style="dim")
    return text
