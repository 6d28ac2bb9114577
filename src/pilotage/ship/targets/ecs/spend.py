"""What a day may cost before somebody is told."""

from __future__ import annotations

from pilotage.ship.graph import Resource
from pilotage.ship.targets.aws_parts import bill_limit
from pilotage.ship.targets.ecs.layout import Layout


def budget(layout: Layout) -> tuple[Resource, ...]:
    """A budget of the deployment's own, by its tag.

    AWS/Billing's metric is the whole account's and only grows through the month; a budget is per
    tag and day, and some hours late.
    """
    most = bill_limit(layout.shipment)
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
                    "BudgetLimit": {"Amount": most, "Unit": "USD"},
                    "CostFilters": {
                        "TagKeyValue": [f"user:pilotage:deployment${layout.deployment}"]
                    },
                },
                **(told if topic else {}),
            },
        ),
    )
