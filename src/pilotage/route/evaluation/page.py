"""An evaluation as one HTML page that needs nothing but itself, in the look of a plan's page."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from pilotage.route.evaluation.chart import quality_chart
from pilotage.route.evaluation.evaluation import Evaluation
from pilotage.route.evaluation.table import HEADS, LEGEND, heading, price_lines, rows, verdict

_PLAN: str = "pilotage.plan.report"
"""Where the style and the script that reads charts come from."""


def html_page(found: Evaluation) -> str:
    """The whole evaluation as one page."""
    style, script = _read("page.css", _PLAN), _read("page.js", _PLAN)
    return _template().render(
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
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


def _read(name: str, package: str = __package__ or "") -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
