"""Panels of a Grafana dashboard, as its JSON model has them (schema version 41, Grafana 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final, Literal

COLUMNS: Final = 24
"""Of Grafana's grid."""

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS: Final = {"stat": 4, "timeseries": 8}

Unit = Literal["s", "percentunit", "percent", "short", "reqps", "bytes", "currencyUSD", "none"]
"""Ids of Grafana's own list of units; there is none for tokens, so a title says them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to Prometheus.

    Attributes:
        expression: In Prometheus' language, with Grafana's variables.
        legend: Of each series, with labels as ``{{worker}}``.
        instant: Whether it is one value for the whole time range.
    """

    expression: str
    legend: str
    instant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel.

    Attributes:
        title: What is shown.
        says: What it means, for whoever hovers over it.
        unit: Of the values.
        queries: What is drawn, each a series or several.
        kind: One number, or a curve.
        width: Columns of the grid's 24.
        limit: Value that is promised, or too much; drawn as a line, or colours the number.
        low_is_bad: Whether values below the limit are the bad ones.
        stacked: Whether series add up to something.
        top: Greatest value of the axis.
    """

    title: str
    says: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Literal["stat", "timeseries"] = "timeseries"
    width: int = 8
    limit: float | None = None
    low_is_bad: bool = False
    stacked: bool = False
    top: float | None = None

    @property
    def height(self) -> int:
        """Rows of the grid."""
        return _HEIGHTS[self.kind]

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana reads it, at a place of the grid."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.says,
            "datasource": _DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [
                {
                    "refId": ascii_uppercase[place],
                    "datasource": _DATASOURCE,
                    "expr": one.expression,
                    "legendFormat": one.legend,
                    "instant": one.instant,
                    "range": not one.instant,
                }
                for place, one in enumerate(self.queries)
            ],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
        }

    def _defaults(self) -> dict[str, Any]:
        bounds = {"min": 0} if self.top is None else {"min": 0, "max": self.top}
        defaults: dict[str, Any] = {
            "unit": self.unit,
            **({} if self.low_is_bad else bounds),
            "color": {"mode": "thresholds" if self.kind == "stat" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": self._steps()},
        }
        if self.kind == "timeseries":
            defaults["custom"] = {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 20 if self.stacked else 0,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "off" if self.limit is None else "line"},
            }
        return defaults

    def _steps(self) -> list[dict[str, Any]]:
        plain = "text" if self.limit is None else "red" if self.low_is_bad else "green"
        steps: list[dict[str, Any]] = [{"color": plain, "value": None}]
        if self.limit is not None:
            steps.append({"color": "green" if self.low_is_bad else "red", "value": self.limit})
        return steps

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            return {
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "textMode": "value",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            }
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels under a heading.

    Attributes:
        title: The heading.
        panels: From left to right, and on in the next line.
    """

    title: str
    panels: tuple[Panel, ...]


def laid_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows and panels with numbers and places, no two over one another."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            found.append(panel.as_json(len(found) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found
