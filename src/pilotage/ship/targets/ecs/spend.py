"""What a day may cost before somebody is told."""

from __future__ import annotations

from typing import Final

from pilotage.ship.graph import Resource
from pilotage.ship.targets.ecs.layout import Layout

MARGIN: Final = 1.5
"""Times the predicted spend that is too much, if the spec says nothing."""

_DAYS_A_MONTH: Final = 730 / 24


def usd_per_day(layout: Layout) -> float | None:
    """Spend of a day that is too much; None where nothing tells it."""
    given = layout.shipping.alarms.usd_per_day
    if given is not None:
        return given
    plan = layout.shipment.plan
    if plan is not None and plan.predictions.usd_per_month is not None:
        return MARGIN * plan.predictions.usd_per_month / _DAYS_A_MONTH
    price = layout.instance.usd_per_hour
    if price is None:
        return None
    machines = -(-layout.sizing.desired // layout.replicas_per_instance)
    return MARGIN * price * 24 * machines


def budget(layout: Layout) -> tuple[Resource, ...]:
    """A budget of the deployment's own, by its tag.

    AWS/Billing's metric is the whole account's and only grows through the month; a budget is per
    tag and day, and some hours late.
    """
    most = usd_per_day(layout)
    if most is None:
        return ()
    topic = layout.shipping.alarms.topic_arn
    told = {
        "NotificationsWithSubscribers": [
            {
                "Notification": {
                    "NotificationType": "ACTUAL",
                    "ComparisonOperator": "GREATER_THAN",
                    "Threshold": 100,
                    "ThresholdType": "PERCENTAGE",
                },
                "Subscribers": [{"SubscriptionType": "SNS", "Address": topic}],
            }
        ]
    }
    return (
        Resource(
            name="SpendBudget",
            type="AWS::Budgets::Budget",
            properties={
                "Budget": {
                    "BudgetName": layout.name,
                    "BudgetType": "COST",
                    "TimeUnit": "DAILY",
                    "BudgetLimit": {"Amount": round(most, 2), "Unit": "USD"},
                    "CostFilters": {
                        "TagKeyValue": [f"user:pilotage:deployment${layout.deployment}"]
                    },
                },
                **(told if topic else {}),
            },
        ),
    )
