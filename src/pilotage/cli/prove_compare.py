"""``pilotage prove --compare``: reports side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pilotage.cli.prove_summary import drawn
from pilotage.errors import UsageError
from pilotage.prove.report import (
    compare,
    comparison_json,
    comparison_tables,
    read_report,
    write_comparison,
)


def run_compare(paths: list[Path], *, out: Path | None, as_json: bool) -> None:
    """Put the reports at ``paths`` side by side: on the screen, and as files if ``out`` is given.

    Raises:
        UsageError: There is but one, or one is no report.
    """
    if len(paths) < 2:
        raise UsageError("it takes two reports to compare", where="--compare")
    reports = [read_report(_file(path)) for path in paths]
    comparison = compare(reports)
    files = write_comparison(reports, out) if out is not None else {}
    if as_json:
        sys.stdout.buffer.write(comparison_json(comparison).rstrip() + b"\n")
        return
    console = Console(highlight=False)
    for table in comparison_tables(comparison):
        console.print(drawn(table))
    for warning in comparison.warnings:
        console.print(Text(warning, style="yellow"))
    for name, path in files.items():
        console.print(Text(f"{name:<8} {path}", style="dim"), soft_wrap=True)


def _file(path: Path) -> Path:
    """The report itself, where a report's folder was named."""
    return path / "report.json" if path.is_dir() else path
