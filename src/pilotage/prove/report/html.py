"""A report as one HTML page.

Whatever a server said is escaped: the template escapes text, and the data for the charts is JSON in
which no ``<`` is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from markupsafe import Markup

from pilotage.pages import one_file
from pilotage.prove.report import figures
from pilotage.prove.report.background import cautions, repeat_text, sections
from pilotage.prove.report.chart import Panel
from pilotage.prove.report.charts import panels
from pilotage.prove.report.facts import (
    estimate_cell,
    failed_cell,
    finding_cell,
    headline,
    outcome_name,
)
from pilotage.prove.report.table import Cell, Tone
from pilotage.prove.result import Report

_HERE: Final = __package__ or ""
_TILES = (("ttft", "Time to first token"), ("tpot", "Time per token"), ("e2e", "End to end"))


def html_page(report: Report) -> str:
    """The whole report as one page."""
    command, sentence = repeat_text(report)
    drawn = panels(report)
    return render(
        "report.html.j2",
        drawn,
        title=report.name,
        report=report,
        headline=headline(report),
        when=figures.when(report.created_at),
        cautions=cautions(report),
        tiles=_tiles(report),
        tables=defaultdict(lambda: None, {table.name: table for table in sections(report)}),
        panels=defaultdict(lambda: None, {panel.name: panel for panel in drawn}),
        outcomes=_outcomes(report),
        command=command,
        repeat=sentence,
    )


def render(template: str, drawn: Sequence[Panel], **values: Any) -> str:
    """``template`` with the page's style, script and the data of its charts."""
    style, script = one_file.read(_HERE, "page.css"), _script()
    data = embedded_json({"panels": drawn})
    return one_file.render(_HERE, template, style=style, script=script, data=data, **values)


def embedded_json(value: Any) -> Markup:
    """``value`` as JSON that no HTML parser can mistake for mark-up."""
    text = msgspec.json.encode(value).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - the loop above has made it safe


def _script() -> str:
    """The page's script: no module may be imported into a page that is one file."""
    parts = ("elements", "numbers", "scales", "chart", "panel", "page")
    joined = "\n".join(one_file.read(_HERE, f"{part}.js") for part in parts)
    return f'"use strict";\n(() => {{\n{joined}}})();\n'


def _tiles(report: Report) -> list[tuple[str, Cell]]:
    """The few figures to see first."""
    measures = report.measures
    judged: dict[str, Tone] = {}
    for promise in report.verdict.objectives:
        if promise.quantile == 0.99:
            judged[promise.metric] = finding_cell(promise.finding).tone
    tiles = []
    for metric, name in _TILES:
        found = getattr(measures, metric)
        if found is not None:
            tiles.append((f"{name}, p99", estimate_cell(found.p99, judged.get(metric, ""))))
    if measures.goodput is not None:
        kept = f"{figures.share(measures.good_share)} kept the SLO"
        tiles.append(("Goodput", Cell(figures.rate(measures.goodput), kept)))
    else:
        offered = f"{figures.rate(measures.offered_rate)} offered"
        tiles.append(("Answered", Cell(figures.rate(measures.completed_rate), offered)))
    if measures.output_tokens_rate is not None:
        tiles.append(("Output tokens", Cell(figures.rate(measures.output_tokens_rate))))
    failed = failed_cell(report)
    tiles.append(("Failed", Cell(failed.text, f"of {figures.count(measures.requests)} requests")))
    return tiles


def _outcomes(report: Report) -> list[dict[str, Any]]:
    """The bar of how requests ended: name, tone, count and where its part lies, in per cent."""
    measures = report.measures
    if not measures.requests:
        return []
    complete = measures.outcomes.get("complete", 0)
    parts: list[tuple[str, str, int]] = []
    if measures.good_share is not None:
        good = min(complete, round(measures.good_share * measures.requests))
        parts.append(("Kept every promise", "good", good))
        parts.append(("Answered whole, but late", "s3", complete - good))
    else:
        parts.append((outcome_name("complete"), "s1", complete))
    failed = [(name, n) for name, n in measures.outcomes.items() if name != "complete"]
    tones = ("bad", "s8", "s5", "s7")
    for place, (name, number) in enumerate(sorted(failed, key=lambda pair: -pair[1])):
        parts.append((outcome_name(name), tones[min(place, len(tones) - 1)], number))
    total, bars, at = sum(part[2] for part in parts) or 1, [], 0.0
    for name, tone_name, number in parts:
        width = 100 * number / total
        if number:
            text = f"{figures.count(number)} · {figures.share(number / total)}"
            bars.append({"name": name, "tone": tone_name, "at": at, "width": width, "text": text})
        at += width
    return bars
