"""Rows of the dashboard on what users notice: promise, load, latency, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.ship.monitoring.answers import ASKED, FAILED, failed_share
from pilotage.ship.monitoring.panel import Panel, Query, Row
from pilotage.ship.monitoring.promises import SHARE, Latency
from pilotage.ship.monitoring.series import Series, span
from pilotage.ship.target import Shipment

WINDOW: Final = "$__rate_interval"
"""Grafana's: at least four scrapes, and a step of the curve."""
_RANGE: Final = "$__range"
_MODEL: Final = "gen_ai_request_model"
_PERCENTS: Final = (50, 90, 99)


def promise_row(shipment: Shipment, series: Series, found: tuple[Latency, ...]) -> Row:
    """Whether what the spec promises holds, over the time range and as a curve."""
    del shipment
    promised = tuple(one for one in found if one.limit_s is not None)
    asked = series.rate("pilotage_requests_total", _RANGE, ASKED)
    failed = f"({series.rate('pilotage_requests_total', _RANGE, ASKED, FAILED)} or 0 * {asked})"
    share = f"{failed} / {asked}"
    numbers = [
        Panel(
            title="Answers that did not fail",
            says=f"Of what users asked for in the time range, without 5xx. {100 * SHARE:g} % and "
            "more is what the promises leave room for.",
            unit="percentunit",
            kind="stat",
            width=6,
            limit=SHARE,
            low_is_bad=True,
            queries=(Query(expression=f"1 - {share}", legend="good", instant=True),),
        ),
        *(
            Panel(
                title=f"{one.key.upper()} p99, promised {one.limit_s:g} s",
                says=f"The {one.words} that 99 of 100 requests of the time range kept.",
                unit="s",
                kind="stat",
                width=6,
                limit=one.limit_s,
                queries=(
                    Query(
                        expression=one.percentile(series, SHARE, _RANGE),
                        legend="p99",
                        instant=True,
                    ),
                ),
            )
            for one in promised
        ),
    ]
    curves = [
        Panel(
            title=f"{one.key.upper()} p99 against the promise",
            says=f"{one.words[:1].upper()}{one.words[1:]} at p99 over {span(one.window_s)}, as "
            f"the alert looks at it. {_exact(one)}",
            unit="s",
            limit=one.limit_s,
            queries=(
                Query(expression=one.percentile(series, SHARE, span(one.window_s)), legend="p99"),
            ),
        )
        for one in promised
    ]
    burn = Panel(
        title="Error budget: speed at which it is used up",
        says="1 uses up the budget (1 % of the answers) in exactly 30 days; the alerts look at "
        "14.4 over an hour and 6 over six.",
        unit="short",
        limit=1,
        queries=tuple(
            Query(
                expression=f"({failed_share(series, window)}) / {1 - SHARE:g}",
                legend=f"over {window}",
            )
            for window in ("1h", "6h")
        ),
    )
    return Row(title="Promise", panels=(*numbers, *curves, burn))


def load_row(shipment: Shipment, series: Series) -> Row:
    """What arrives, against what was planned for."""
    workload = shipment.deployment.workload
    peak = workload.arrivals.peak if workload else None
    said = f" The line is workload.arrivals.peak, {peak:g}/s." if peak else ""
    return Row(
        title="Load",
        panels=(
            Panel(
                title="Generations a second, by model",
                says=f"Requests for a generation that ended, good or bad.{said}",
                unit="reqps",
                limit=peak,
                queries=(
                    Query(
                        expression=series.rate(
                            "gen_ai_server_request_duration_seconds_count", WINDOW, by=(_MODEL,)
                        ),
                        legend=f"{{{{{_MODEL}}}}}",
                    ),
                ),
            ),
            Panel(
                title="Requests a second, by endpoint and status",
                says="Everything that the server answers, probes and scrapes included.",
                unit="reqps",
                stacked=True,
                queries=(
                    Query(
                        expression=series.rate(
                            "pilotage_requests_total", WINDOW, by=("endpoint", "status")
                        ),
                        legend="{{endpoint}} {{status}}",
                    ),
                ),
            ),
            Panel(
                title="Requests in flight",
                says="Arrived and not yet answered, queue included.",
                unit="short",
                queries=(
                    Query(
                        expression=series.of("pilotage_requests_in_flight"), legend="{{instance}}"
                    ),
                ),
            ),
        ),
    )


def latency_row(series: Series, found: tuple[Latency, ...]) -> Row:
    """Median, p90 and p99 of each latency, and of the time in the queue."""
    panels = [
        _percentiles(
            one.key.upper(),
            one.words,
            [one.percentile(series, percent / 100, WINDOW) for percent in _PERCENTS],
            limit=one.limit_s,
        )
        for one in found
    ]
    queue = "pilotage_request_queue_seconds"
    panels.append(
        _percentiles(
            "Queue",
            "time from admission to a worker",
            [series.quantile(percent / 100, queue, WINDOW) for percent in _PERCENTS],
        )
    )
    return Row(title="Latency", panels=tuple(panels))


def _percentiles(
    name: str, words: str, expressions: Sequence[str], *, limit: float | None = None
) -> Panel:
    return Panel(
        title=f"{name}: p50, p90, p99",
        says=f"{words[:1].upper()}{words[1:]}, of all models and replicas, of answers that did "
        "not fail.",
        unit="s",
        width=12,
        limit=limit,
        queries=tuple(
            Query(expression=expression, legend=f"p{percent}")
            for percent, expression in zip(_PERCENTS, expressions, strict=True)
        ),
    )


def error_row(series: Series) -> Row:
    """What goes wrong, by status and by reason."""
    return Row(
        title="Errors",
        panels=(
            Panel(
                title="Answers with an error a second, by status",
                says="4xx are the clients', 5xx the server's; 499 left before there was an answer.",
                unit="reqps",
                stacked=True,
                queries=(
                    Query(
                        expression=series.rate(
                            "pilotage_requests_total", WINDOW, ASKED, 'status=~"[45].."',
                            by=("status",),
                        ),
                        legend="{{status}}",
                    ),
                ),
            ),
            Panel(
                title="Generations that went wrong a second, by reason",
                says="The code of the error object, streams that broke off included.",
                unit="reqps",
                stacked=True,
                queries=(
                    Query(
                        expression=series.rate(
                            "gen_ai_server_request_duration_seconds_count", WINDOW,
                            'error_type!=""', by=("error_type",),
                        ),
                        legend="{{error_type}}",
                    ),
                ),
            ),
            Panel(
                title="Restarts and retries in 15 minutes",
                says="Workers that were started again, and sequences that another worker took "
                "over because theirs was lost.",
                unit="short",
                queries=(
                    Query(
                        expression="increase("
                        f"{series.of('pilotage_worker_restarts_total')}[15m])",
                        legend="restarts {{instance}} {{worker}}",
                    ),
                    Query(
                        expression=f"increase({series.of('pilotage_retries_total')}[15m])",
                        legend="retries {{instance}}",
                    ),
                ),
            ),
        ),
    )  # fmt: skip


def _exact(one: Latency) -> str:
    if not one.measurable:
        return f"The histogram ends at {one.bounds[-1]:g} s, before the promise."
    return one.reason
