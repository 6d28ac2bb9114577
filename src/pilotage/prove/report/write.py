"""All files of a report in one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pilotage.errors import PilotageError
from pilotage.prove.record import Record
from pilotage.prove.report.csv_report import write_requests_csv
from pilotage.prove.report.files import write_file
from pilotage.prove.report.html import html_page
from pilotage.prove.report.json_report import write_json
from pilotage.prove.report.markdown import markdown_page
from pilotage.prove.report.png import write_png
from pilotage.prove.result import Report


def write_all(
    report: Report,
    records: Sequence[Record],
    folder: Path,
    *,
    note: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Write ``report.json``, ``requests.csv``, ``report.md``, ``report.html``, ``latency.png``.

    The first to be written is the one that all others can be made from again.

    Args:
        report: The report.
        records: Its requests.
        folder: Where to; made if need be.
        note: Told why the plot was left out, if it was: matplotlib is missing, or nothing was
            measured.

    Returns:
        The files by kind: "json", "csv", "markdown", "html", "png".

    Raises:
        UsageError: The files cannot be written there.
    """
    files = {
        "json": write_json(report, folder / "report.json"),
        "csv": write_requests_csv(records, folder / "requests.csv"),
        "markdown": write_file(folder / "report.md", markdown_page(report)),
        "html": write_file(folder / "report.html", html_page(report)),
    }
    try:
        files["png"] = write_png(report, folder / "latency.png")
    except PilotageError as error:
        if note is not None:
            note(f"latency.png was left out: {error}")
    return files
