"""Rules on routing: what it spends, backends that are down, answers that got worse."""

from __future__ import annotations

from typing import Final

from pilotage.ship.monitoring.alert import Alert, Recording
from pilotage.ship.monitoring.series import Series
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import daily_limit

_SPENT: Final = "job:pilotage_route_cost_usd:increase1d"
_DAYS_A_MONTH: Final = 730 / 24


def spend_limit(shipment: Shipment) -> tuple[float, str] | None:
    """US dollars a day that are too much, and why; None where nothing tells it."""
    given = shipment.shipping.alarms.usd_per_day
    if given is not None:
        return given, f"shipping.alarms.usd_per_day is ${given:g}."
    limit = daily_limit(shipment)
    if limit is not None:
        return limit, "1.5 times a day of the cost that the plan predicts."
    budget = shipment.deployment.budget
    if budget is None or budget.usd_per_month is None:
        return None
    month = budget.usd_per_month
    return round(month / _DAYS_A_MONTH, 2), f"A day of budget.usd_per_month, ${month:g}."


def route_recordings(shipment: Shipment, series: Series) -> tuple[Recording, ...]:
    """What the attempts of a day cost."""
    if shipment.deployment.routing is None:
        return ()
    cost = series.of("pilotage_route_cost_usd_total")
    return (Recording(name=_SPENT, expression=series.total(f"increase({cost}[1d])")),)


def route_alerts(shipment: Shipment, series: Series) -> tuple[Alert, ...]:
    """Spend, breakers, drift; none where the spec does not route."""
    if shipment.deployment.routing is None:
        return ()
    found = [_breaker(series), _drift(series)]
    limit = spend_limit(shipment)
    if limit is not None:
        found.append(_spend(series, *limit))
    return tuple(found)


def _spend(series: Series, limit: float, why: str) -> Alert:
    return Alert(
        name="PilotageSpend",
        expression=f"{series.of(_SPENT)} > {limit:g}",
        lasting_s=0,
        severity="warning",
        summary="{{ $labels.job }}: the tiers cost ${{ $value | humanize }} in 24 hours",
        advice="The dashboard shows which tier and what for; the ledger has every attempt. A "
        "tenant's budget bounds what a key may spend.",
        reason=f"{why} Of the attempts alone, at the spec's prices: machines are not in it.",
    )


def _breaker(series: Series) -> Alert:
    return Alert(
        name="PilotageBackendDown",
        expression=f"{series.of('pilotage_route_breaker')} == 2",
        lasting_s=300,
        severity="warning",
        summary="{{ $labels.job }}: the circuit breaker of {{ $labels.backend }} is open",
        advice="The backend fails or answers too late; other backends and tiers take its requests.",
        reason="Open (2) for 5 minutes: it has been probed since, and failed again.",
    )


def _drift(series: Series) -> Alert:
    alerts = series.of("pilotage_route_drift_alerts_total")
    return Alert(
        name="PilotageQualityDrift",
        expression=f"increase({alerts}[1h]) > 0",
        lasting_s=0,
        severity="warning",
        summary="{{ $labels.job }}: the answers of {{ $labels.tier }} are not as good as predicted",
        advice="Calibrate again with fresh data: pilotage route calibrate.",
        reason="The server compares audited quality with its calibration; each alert is one that "
        "left the predicted range.",
    )
