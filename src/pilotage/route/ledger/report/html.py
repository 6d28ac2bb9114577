"""A report as one HTML page that needs nothing but itself: no script, no network, no fonts.

Text is escaped by the template; a content security policy names the page's own style by its hash,
so that nothing else loads or runs even if an escape were missed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from pilotage.route.ledger.report.chart import day_chart, tones_of
from pilotage.route.ledger.report.result import Report
from pilotage.route.ledger.report.tables import notes, tables, tiles


def html_page(report: Report) -> str:
    """The whole report as one page."""
    style = _read("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(
        policy=f"default-src 'none'; style-src 'sha256-{digest}'",
        style=Markup(style),  # noqa: S704 - our own file
        report=report,
        tiles=tiles(report),
        notes=notes(report),
        chart=day_chart(report),
        tones=tones_of(report),
        tables=tables(report),
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
