"""An evaluation as one HTML page that needs nothing but itself, in the look of a plan's page."""

from __future__ import annotations

from typing import Final

from pilotage.pages import one_file
from pilotage.route.evaluation.chart import quality_chart
from pilotage.route.evaluation.evaluation import Evaluation
from pilotage.route.evaluation.table import HEADS, LEGEND, heading, price_lines, rows, verdict

_PLAN: Final = "pilotage.plan.report"
"""Where the style and the script that reads charts come from."""


def html_page(found: Evaluation) -> str:
    """The whole evaluation as one page."""
    return one_file.render(
        __package__ or "",
        "page.html.j2",
        style=one_file.read(_PLAN, "page.css"),
        script=one_file.read(_PLAN, "page.js"),
        heading=heading(found),
        verdict=verdict(found),
        good=not any(one.kind == "policy" and one.below_mix for one in found.measured)
        and found.winner.gap_closed.low > 0,
        chart=quality_chart(found),
        heads=HEADS,
        rows=rows(found),
        legend=LEGEND,
        prices=price_lines(found),
        notes=found.notes,
    )
