"""A comparison for people and programs: tables, Markdown, one HTML page, CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pilotage.prove.report import figures
from pilotage.prove.report.charts import distribution_panel
from pilotage.prove.report.compare import Comparison, Entry, Line, compare, side_names
from pilotage.prove.report.csv_report import csv_text
from pilotage.prove.report.files import write_file
from pilotage.prove.report.html import render
from pilotage.prove.report.markdown import escaped, markdown_table
from pilotage.prove.report.table import Cell, Table, Tone
from pilotage.prove.result import Report

_GROUPS = {
    "latency": "Latency",
    "throughput": "Throughput",
    "cost": "Cost",
    "limits": "Limits and cold start",
}
_TONES: dict[str, Tone] = {"met": "good", "missed": "bad", "no_slo": ""}


def comparison_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The targets, then their measures in groups: the same rows for every view."""
    tables = [_sides_table(comparison)]
    head = ("", *(side.name for side in comparison.sides))
    for group, title in _GROUPS.items():
        rows = tuple(_row(line) for line in comparison.lines if line.group == group)
        note = ""
        if group == "latency":
            note = (
                f"With {figures.confidence(comparison.confidence)} confidence intervals. "
                f'A ratio is to {comparison.sides[0].name}. "Differs": the intervals do not '
                'overlap; ✓ is better and ✗ worse. "Cannot tell": they do, and it may be chance.'
            )
        if rows:
            tables.append(Table(group, title, head, rows, note))
    return tuple(tables)


def _sides_table(comparison: Comparison) -> Table:
    rows = tuple(
        (
            Cell(side.name),
            Cell(side.model, verbatim=True),
            Cell(side.url, verbatim=True),
            Cell(side.verdict, tone=_TONES.get(side.finding, "unsure")),
            Cell(figures.count(side.requests)),
        )
        for side in comparison.sides
    )
    head = ("Target", "Model", "Address", "Verdict", "Requests")
    return Table("sides", "Targets", head, rows, text_columns=frozenset({0, 1, 2, 3}))


def _row(line: Line) -> tuple[Cell, ...]:
    return (Cell(line.name), *(_cell(line, entry) for entry in line.entries))


def _cell(line: Line, entry: Entry) -> Cell:
    if entry.value is None:
        no_answer = entry.low is not None
        return Cell("no answer" if no_answer else figures.NOTHING)
    text = figures.quantity(entry.value, line.unit)
    details = []
    if entry.ratio is not None and entry.ratio != 1:
        details.append(figures.ratio(entry.ratio))
    tone: Tone = ""
    if entry.difference == "differs":
        details.append("differs")
        if entry.ratio is not None and entry.ratio != 1:
            tone = "good" if (entry.ratio < 1) == (line.better == "lower") else "bad"
    elif entry.difference == "cannot_tell":
        details.append("cannot tell")
    interval = figures.interval(entry.low, entry.high, line.unit)
    if interval:
        details.append(interval)
    return Cell(f"at least {text}" if entry.at_least else text, ", ".join(details), tone)


def comparison_markdown(comparison: Comparison) -> str:
    """The comparison in GitHub's Markdown."""
    parts = ["## " + escaped(" against ".join(side.name for side in comparison.sides))]
    if comparison.warnings:
        parts.append("\n".join(f"- ⚠ {escaped(text)}" for text in comparison.warnings))
    parts.extend(markdown_table(table) for table in comparison_tables(comparison))
    return "\n\n".join(parts) + "\n"


def comparison_html(reports: Sequence[Report]) -> str:
    """The comparison as one page that needs nothing else, with every target's distributions."""
    comparison = compare(reports)
    # A promise is drawn only where all targets were to keep the same one.
    same = all(report.slo == reports[0].slo for report in reports)
    objectives = reports[0].verdict.objectives if same else ()
    neutral = [msgspec.structs.replace(one, finding="met") for one in objectives]
    panel = distribution_panel(reports, side_names(reports), neutral)
    return render(
        "comparison.html.j2",
        [panel] if panel.tabs else [],
        title=" against ".join(side.name for side in comparison.sides),
        comparison=comparison,
        tables=comparison_tables(comparison),
        distribution=panel if panel.tabs else None,
    )


def comparison_csv(comparison: Comparison) -> str:
    """``summary.csv``: a row a measure and target."""
    head = (
        *("target", "model", "url", "finding", "measure", "unit", "value", "low", "high"),
        *("ratio_to_first", "difference", "at_least"),
    )
    rows = (
        (
            *(side.name, side.model, side.url, side.finding, line.name, line.unit),
            *(entry.value, entry.low, entry.high, entry.ratio, entry.difference, entry.at_least),
        )
        for line in comparison.lines
        for side, entry in zip(comparison.sides, line.entries, strict=True)
    )
    return csv_text(head, rows)


def comparison_json(comparison: Comparison) -> bytes:
    """The comparison for programs."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"


def write_comparison(reports: Sequence[Report], folder: Path) -> dict[str, Path]:
    """Write ``comparison.json``, ``summary.csv``, ``comparison.md`` and ``comparison.html``.

    Returns:
        The files by kind: "json", "csv", "markdown", "html".

    Raises:
        UsageError: There are fewer than two reports, or the files cannot be written there.
    """
    comparison = compare(reports)
    return {
        "json": write_file(folder / "comparison.json", comparison_json(comparison)),
        "csv": write_file(folder / "summary.csv", comparison_csv(comparison)),
        "markdown": write_file(folder / "comparison.md", comparison_markdown(comparison)),
        "html": write_file(folder / "comparison.html", comparison_html(reports)),
    }
