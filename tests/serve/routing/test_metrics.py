"""Counts of routed attempts, as Prometheus reads them."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.drift import Alert
from pilotage.serve.routing.metrics import RouteMetrics

DOCS = Path(__file__).parents[3] / "docs" / "observability.md"


class Kept:
    """A ledger that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []

    def record(self, attempt: Attempt) -> None:
        self.rows.append(attempt)


class Named:
    """A tier of no backends."""

    health = ()


def attempt(cost: str) -> Attempt:
    return Attempt(
        id=cost,
        request_id="r",
        at=0.0,
        key_id=None,
        role=Role.DRAFT,
        tier="small",
        backend="small/0",
        asked_model="tiny",
        served_model="tiny",
        usage=Usage(prompt_tokens=5, completion_tokens=2),
        cost=Decimal(cost),
        latency_s=0.1,
        ttft_s=0.1,
        outcome=Outcome.OK,
    )


def shown(metrics: RouteMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_attempts_and_alerts_are_counted_on_their_way_to_the_ledger():
    ledger = Kept()
    metrics = RouteMetrics(ledger)
    metrics.watch({"small": Named()})  # type: ignore[dict-item]
    metrics.record(attempt("0.25"))
    metrics.record(attempt("0.5"))
    metrics.alerted(Alert(tier="small", predicted=0.9, audited=0.7, audits=50))

    text = shown(metrics)
    assert [row.cost for row in ledger.rows] == [Decimal("0.25"), Decimal("0.5")]
    labels = 'backend="small/0",outcome="ok",role="draft",tier="small"'
    assert f"pilotage_route_attempts_total{{{labels}}} 2.0" in text
    assert 'pilotage_route_cost_usd_total{role="draft",tier="small"} 0.75' in text
    assert 'pilotage_route_tokens_total{tier="small",type="input"} 10.0' in text
    assert 'pilotage_route_drift_alerts_total{tier="small"} 1.0' in text


def test_the_page_names_every_metric():
    metrics = RouteMetrics(Kept())
    metrics.watch({"small": Named()})  # type: ignore[dict-item]
    metrics.record(attempt("1"))
    names = set(re.findall(r"^(pilotage_route_\w+)[ {]", shown(metrics), re.MULTILINE))
    kinds = set(re.findall(r"^# TYPE (pilotage_route_\w+)", shown(metrics), re.MULTILINE))
    page = DOCS.read_text()
    assert names
    assert {name for name in names | kinds if f"`{name}`" not in page} == set()
