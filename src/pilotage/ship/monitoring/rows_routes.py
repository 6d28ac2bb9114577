"""The row of the dashboard on routing: who answers, what it costs, what is down."""

from __future__ import annotations

from pilotage.ship.monitoring.panel import Panel, Query, Row
from pilotage.ship.monitoring.routes import spend_limit
from pilotage.ship.monitoring.rows_answers import WINDOW
from pilotage.ship.monitoring.series import Series
from pilotage.ship.target import Shipment


def route_row(shipment: Shipment, series: Series) -> Row:
    """Who answers, what it costs, what is down."""
    limit = spend_limit(shipment)
    attempts = "pilotage_route_attempts_total"
    answers = series.rate("pilotage_route_answers_total", WINDOW)
    return Row(
        title="Routing and spend",
        panels=(
            Panel(
                title="Spent in 24 hours, US dollars",
                says="Attempts of all tiers at the spec's prices, machines not included; red "
                "where it is an alert.",
                unit="currencyUSD",
                kind="stat",
                width=24,
                limit=limit[0] if limit else None,
                queries=(
                    Query(
                        expression=series.total(
                            f"increase({series.of('pilotage_route_cost_usd_total')}[1d])"
                        ),
                        legend="spent",
                        instant=True,
                    ),
                ),
            ),
            Panel(
                title="US dollars an hour, by tier and role",
                says="Answers, verification, shadow samples: each attempt at its price.",
                unit="currencyUSD",
                stacked=True,
                queries=(
                    Query(
                        expression="3600 * "
                        + series.rate(
                            "pilotage_route_cost_usd_total", WINDOW, by=("tier", "role")
                        ),
                        legend="{{tier}} {{role}}",
                    ),
                ),
            ),
            Panel(
                title="Attempts a second, by tier and outcome",
                says="One request makes one attempt or several.",
                unit="reqps",
                stacked=True,
                queries=(
                    Query(
                        expression=series.rate(attempts, WINDOW, by=("tier", "outcome")),
                        legend="{{tier}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                title="Escalations an answer",
                says="Tiers whose answers were not good enough, for each request that was "
                "answered.",
                unit="short",
                queries=(
                    Query(
                        expression=series.rate("pilotage_route_escalations_total", WINDOW)
                        + f" / {answers}",
                        legend="escalations",
                    ),
                ),
            ),
            Panel(
                title="Time that routing adds, mean",
                says="From a request's arrival until a backend is asked.",
                unit="s",
                queries=(
                    Query(
                        expression=series.rate("pilotage_route_added_seconds_total", WINDOW)
                        + f" / {answers}",
                        legend="added",
                    ),
                ),
            ),
            Panel(
                title="Tokens a second, by tier",
                says="Input and output, of all attempts.",
                unit="short",
                queries=(
                    Query(
                        expression=series.rate(
                            "pilotage_route_tokens_total", WINDOW, by=("tier", "type")
                        ),
                        legend="{{tier}} {{type}}",
                    ),
                ),
            ),
            Panel(
                title="Circuit breakers",
                says="0 closed, 1 half open, 2 open: nobody asks that backend.",
                unit="none",
                limit=2,
                top=2,
                queries=(
                    Query(
                        expression=series.of("pilotage_route_breaker"), legend="{{backend}}"
                    ),
                ),
            ),
            Panel(
                title="In flight, by backend",
                says="Attempts under way.",
                unit="short",
                width=12,
                queries=(
                    Query(
                        expression=series.total(
                            series.of("pilotage_route_in_flight"), "backend"
                        ),
                        legend="{{backend}}",
                    ),
                ),
            ),
            Panel(
                title="Alerts on quality in a day, by tier",
                says="Audited answers that were worse than the calibration predicts.",
                unit="short",
                width=12,
                queries=(
                    Query(
                        expression="increase("
                        f"{series.of('pilotage_route_drift_alerts_total')}[1d])",
                        legend="{{tier}}",
                    ),
                ),
            ),
        ),
    )  # fmt: skip
