"""The Grafana dashboard of a deployment: whether its promise holds, then why not."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from pilotage.ship.monitoring.panel import laid_out
from pilotage.ship.monitoring.promises import latencies
from pilotage.ship.monitoring.replicas import serves_itself
from pilotage.ship.monitoring.rows_answers import error_row, latency_row, load_row, promise_row
from pilotage.ship.monitoring.rows_routes import route_row
from pilotage.ship.monitoring.rows_workers import queue_row, token_row, worker_row
from pilotage.ship.monitoring.series import Scrape, Series
from pilotage.ship.target import Shipment

SCHEMA_VERSION: Final = 41
"""Of Grafana 12.0; later ones read it and bring it up to theirs."""

_LONGEST_UID: Final = 40
_ANY_TIME: Final = 2
"""A variable is asked for anew whenever the time range changes."""


def dashboard_of(shipment: Shipment, scrape: Scrape) -> dict[str, Any]:
    """The dashboard, as Grafana imports it.

    Which deployment it shows is a variable, so that a second one can be looked at beside it; limits
    are this one's.

    Args:
        shipment: What is shipped.
        scrape: How its series are labelled.
    """
    variables = Scrape(
        job="${deployment}", namespace=None if scrape.namespace is None else "${namespace}"
    )
    series = Series(scrape=variables)
    found = latencies(shipment.deployment)
    rows = [
        promise_row(shipment, series, found),
        load_row(shipment, series),
        latency_row(series, found),
    ]
    if serves_itself(shipment):
        rows += [token_row(series), queue_row(shipment, series), worker_row(shipment, series)]
    rows.append(error_row(series))
    if shipment.deployment.routing is not None:
        rows.append(route_row(shipment, series))
    name = shipment.deployment.name
    return {
        "uid": _uid(shipment.name),
        "title": f"Pilotage: {name}",
        "description": f"The deployment {name}, rendered by pilotage ship from its spec.",
        "tags": ["pilotage", name],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables(scrape)},
        "panels": laid_out(rows),
    }


def _variables(scrape: Scrape) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "refresh": 1,
            "multi": False,
            "includeAll": False,
            "hide": 0,
            "current": {},
            "options": [],
        }
    ]
    metric = "pilotage_build_info"
    if scrape.namespace is not None:
        found.append(_labels("namespace", "Namespace", metric, "namespace", scrape.namespace))
        metric += '{namespace="${namespace}"}'
    found.append(_labels("deployment", "Deployment", metric, "job", scrape.job))
    return found


def _labels(name: str, title: str, metric: str, label: str, now: str) -> dict[str, Any]:
    """A variable with the values that a label has."""
    query = f"label_values({metric}, {label})"
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": f"{name}-values"},
        "regex": "",
        "refresh": _ANY_TIME,
        "sort": 1,
        "multi": False,
        "includeAll": False,
        "hide": 0,
        "current": {"selected": True, "text": now, "value": now},
        "options": [],
    }


def _uid(name: str) -> str:
    """The dashboard's address in Grafana, at most 40 characters, the same at every render."""
    if len(name) <= _LONGEST_UID:
        return name
    return f"{name[: _LONGEST_UID - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
