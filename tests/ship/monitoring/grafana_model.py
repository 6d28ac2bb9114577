"""Grafana's dashboard model, as much of it as we write, closed so that a misspelt key fails.

By hand from Grafana's published schemas (kinds/dashboard/dashboard_kind.cue, and the options of
the panels in packages/grafana-schema: timeseries, stat); Grafana itself ignores what it does not
know, so nothing else would say so.
"""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string", "minLength": 1}
BOOL = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def listed(item: Any, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least}


DATASOURCE = closed("type uid", type={"const": "prometheus"}, uid={"const": "${datasource}"})
GRID = closed(
    "h w x y",
    h={"type": "integer", "minimum": 1},
    w={"type": "integer", "minimum": 1, "maximum": 24},
    x={"type": "integer", "minimum": 0, "maximum": 23},
    y=COUNT,
)
TARGET = closed(
    "refId datasource expr legendFormat instant range",
    refId={"type": "string", "pattern": "^[A-Z]$"},
    datasource=DATASOURCE,
    expr=TEXT,
    legendFormat=TEXT,
    instant=BOOL,
    range=BOOL,
)
THRESHOLDS = closed(
    "mode steps",
    mode={"enum": ["absolute", "percentage"]},
    steps=listed(
        closed(
            "color value",
            color={"enum": ["green", "red", "text"]},
            value={"type": ["number", "null"]},
        ),
        1,
    ),
)
CUSTOM = closed(
    "drawStyle",
    drawStyle={"enum": ["line", "bars", "points"]},
    lineWidth=COUNT,
    fillOpacity={"type": "integer", "minimum": 0, "maximum": 100},
    showPoints={"enum": ["auto", "always", "never"]},
    stacking=closed("mode group", mode={"enum": ["none", "normal", "percent"]}, group=TEXT),
    thresholdsStyle=closed("mode", mode={"enum": ["off", "line", "area", "line+area"]}),
)
# From packages/grafana-data/src/valueFormats/categories.ts.
UNITS = ["none", "short", "percent", "percentunit", "bytes", "currencyUSD", "s", "reqps"]


def field_config(**more: Any) -> dict[str, Any]:
    return closed(
        "defaults overrides",
        defaults=closed(
            "unit color thresholds",
            unit={"enum": UNITS},
            min=NUMBER,
            max=NUMBER,
            color=closed("mode", mode={"enum": ["thresholds", "palette-classic"]}),
            thresholds=THRESHOLDS,
            **more,
        ),
        overrides=listed({}),
    )


COMMON = {
    "id": {"type": "integer", "minimum": 1},
    "title": TEXT,
    "description": TEXT,
    "datasource": DATASOURCE,
    "gridPos": GRID,
    "targets": listed(TARGET, 1),
}
KEYS = "id type title description datasource gridPos targets fieldConfig options"
ROW = closed(
    "id type title collapsed gridPos panels",
    id=COMMON["id"],
    type={"const": "row"},
    title=TEXT,
    collapsed=BOOL,
    gridPos=GRID,
    panels=listed({}),
)
TIMESERIES = closed(
    KEYS,
    type={"const": "timeseries"},
    fieldConfig=field_config(custom=CUSTOM),
    options=closed(
        "legend tooltip",
        legend=closed(
            "displayMode placement showLegend",
            displayMode={"enum": ["list", "table", "hidden"]},
            placement={"enum": ["bottom", "right"]},
            showLegend=BOOL,
        ),
        tooltip=closed(
            "mode sort",
            mode={"enum": ["single", "multi", "none"]},
            sort={"enum": ["asc", "desc", "none"]},
        ),
    ),
    **COMMON,
)
STAT = closed(
    KEYS,
    type={"const": "stat"},
    fieldConfig=field_config(),
    options=closed(
        "colorMode graphMode justifyMode textMode reduceOptions",
        colorMode={"enum": ["value", "background", "background_solid", "none"]},
        graphMode={"enum": ["none", "line", "area"]},
        justifyMode={"enum": ["auto", "center"]},
        textMode={"enum": ["auto", "value", "value_and_name", "name", "none"]},
        reduceOptions=closed(
            "calcs", calcs=listed({"const": "lastNotNull"}, 1), fields={"const": ""}, values=BOOL
        ),
    ),
    **COMMON,
)
CURRENT = closed("", selected=BOOL, text=TEXT, value=TEXT)
VARIABLE = closed(
    "name type query",
    name=TEXT,
    label=TEXT,
    type={"enum": ["datasource", "query"]},
    datasource=DATASOURCE,
    query={"anyOf": [{"const": "prometheus"}, closed("query refId", query=TEXT, refId=TEXT)]},
    regex={"type": "string"},
    refresh={"enum": [0, 1, 2]},
    sort={"type": "integer", "minimum": 0, "maximum": 8},
    multi=BOOL,
    includeAll=BOOL,
    hide={"enum": [0, 1, 2]},
    current=CURRENT,
    options=listed({}),
)
DASHBOARD = closed(
    "uid title schemaVersion panels templating time",
    uid={"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
    title=TEXT,
    description=TEXT,
    tags=listed(TEXT),
    schemaVersion={"const": 41},
    version=COUNT,
    editable=BOOL,
    graphTooltip={"enum": [0, 1, 2]},
    timezone={"enum": ["browser", "utc"]},
    refresh=TEXT,
    time=closed("from to", **{"from": TEXT, "to": TEXT}),
    annotations=closed("list", list=listed({})),
    links=listed({}),
    templating=closed("list", list=listed(VARIABLE, 1)),
    panels=listed({"oneOf": [ROW, TIMESERIES, STAT]}, 1),
)
