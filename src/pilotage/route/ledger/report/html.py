"""A report as one HTML page, without a script."""

from __future__ import annotations

from pilotage.pages import one_file
from pilotage.route.ledger.report.chart import day_chart, tones_of
from pilotage.route.ledger.report.result import Report
from pilotage.route.ledger.report.tables import notes, tables, tiles


def html_page(report: Report) -> str:
    """The whole report as one page."""
    here = __package__ or ""
    return one_file.render(
        here,
        "page.html.j2",
        style=one_file.read(here, "page.css"),
        report=report,
        tiles=tiles(report),
        notes=notes(report),
        chart=day_chart(report),
        tones=tones_of(report),
        tables=tables(report),
    )
