"""What somebody should know about the function, and about what its models cost."""

from __future__ import annotations

from typing import Any, Final

from pilotage.catalog.prices import UnknownPriceError
from pilotage.route.prices import tier_price
from pilotage.ship.graph import Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import Bound, Metric, alarm, daily_limit
from pilotage.ship.targets.lambda_bedrock.checks import timeout_s

_ERROR_PERCENT: Final = 1.0
_MOST_METRICS: Final = 10
"""Metrics of an alarm (CloudWatch quotas)."""

_DAY_S: Final = 86_400


def alarm_resources(shipment: Shipment) -> tuple[Resource, ...]:
    """Errors, throttles, latency at p99; spend where it is known."""
    promised = shipment.deployment.slo.e2e_p99
    slow_s = promised if promised is not None else 0.8 * timeout_s(shipment)
    said = "the promised" if promised is not None else "80 % of the time-out,"
    errors = [
        _metric(shipment, "Errors", "Sum").query("bad", 60),
        _metric(shipment, "Invocations", "Sum").query("asked", 60),
        {
            "Id": "share",
            "Label": "Errors",
            "Expression": "IF(asked > 0, 100 * bad / asked, 0)",
            "ReturnData": True,
        },
    ]
    return (
        alarm(
            "Errors",
            f"More than {_ERROR_PERCENT:g} % of the calls end in an error of the function itself: "
            "see its log",
            errors,
            Bound(threshold=_ERROR_PERCENT, periods=5),
            shipment,
        ),
        alarm(
            "Throttles",
            "Calls are refused: more at once than the reserved concurrency, shipping.scaling.max",
            _metric(shipment, "Throttles", "Sum"),
            Bound(threshold=1, periods=3),
            shipment,
        ),
        alarm(
            "Latency",
            f"The duration at p99 is above {said} {slow_s:g} s",
            _metric(shipment, "Duration", "p99"),
            Bound(threshold=slow_s * 1000, periods=5),
            shipment,
        ),
    )


def spend_alarm(shipment: Shipment) -> tuple[Resource | None, str]:
    """The alarm on a day's tokens in US dollars, and a note on what it holds or why there is none.

    Bedrock counts tokens by the model, in the account and region: what others ask of the same
    models counts, too.
    """
    limit = daily_limit(shipment)
    if limit is None:
        return None, (
            "No alarm on spend: give shipping.alarms.usd_per_day, or a plan with a predicted cost. "
            "The reserved concurrency bounds it."
        )
    try:
        queries, terms = _tokens(shipment)
    except UnknownPriceError as error:
        return None, f"No alarm on spend: {error}."
    if not queries or len(queries) > _MOST_METRICS:
        return None, (
            "No alarm on spend: it would take the tokens of "
            f"{len(queries) // 2} models, and an alarm takes {_MOST_METRICS // 2}."
        )
    dollars = {
        "Id": "usd",
        "Label": "USD a day",
        "Expression": f"({' + '.join(terms)}) / 1000000",
        "ReturnData": True,
    }
    found = alarm(
        "Spend",
        f"The models' tokens cost more than ${limit:g} within a day",
        [*queries, dollars],
        Bound(threshold=limit, period_s=_DAY_S, periods=1),
        shipment,
    )
    return found, (
        f"The alarm on spend sums up a day's tokens of the tiers' models, as of the whole account, "
        f"at list prices: above ${limit:g} it goes off. Cached tokens are not in it."
    )


def _tokens(shipment: Shipment) -> tuple[list[dict[str, Any]], list[str]]:
    """Queries for each model's tokens, and their terms of the sum in dollars a million."""
    routing = shipment.deployment.routing
    queries: list[dict[str, Any]] = []
    terms: list[str] = []
    seen: set[str] = set()
    for tier in routing.tiers if routing is not None else ():
        models = [one.model for one in tier.backends if one.kind == "bedrock" and one.model]
        fresh = [one for one in dict.fromkeys(models) if one not in seen]
        if not fresh:
            continue
        price = tier_price(tier, region=shipment.shipping.region)
        for model in fresh:
            seen.add(model)
            number = len(seen)
            for kind, name, each in (
                ("in", "InputTokenCount", price.input),
                ("out", "OutputTokenCount", price.output),
            ):
                key = f"{kind}{number}"
                metric = Metric(
                    namespace="AWS/Bedrock",
                    name=name,
                    statistic="Sum",
                    dimensions={"ModelId": model},
                )
                queries.append(metric.query(key, _DAY_S))
                # A model that nobody asked has no data, which would void the whole sum.
                terms.append(f"FILL({key}, 0) * {each}")
    return queries, terms


def _metric(shipment: Shipment, name: str, statistic: str) -> Metric:
    return Metric(
        namespace="AWS/Lambda",
        name=name,
        statistic=statistic,
        dimensions={"FunctionName": shipment.name},
    )
