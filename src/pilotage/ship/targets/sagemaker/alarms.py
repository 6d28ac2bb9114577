"""What somebody should know, and what takes a change back."""

from __future__ import annotations

from typing import Any, Final

from pilotage.ship.graph import Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import Bound, alarm, bill_limit
from pilotage.ship.targets.sagemaker.metrics import endpoint_metric, hardware_metric, model_metric

_ERROR_PERCENT: Final = 5.0
_REFUSED_PERCENT: Final = 20.0
_IDLE_S: Final = 3600
_IDLE_PERIODS: Final = 6


def alarm_resources(shipment: Shipment) -> tuple[tuple[Resource, ...], tuple[str, ...]]:
    """All alarms, and the names of those that take a change back."""
    if shipment.target == "sagemaker-async":
        found = [_failures(shipment), _stuck(shipment)]
        rollback = [found[0].name]
    else:
        found = [_errors(shipment), _refusals(shipment)]
        rollback = [found[0].name]
        if (slow := _slow(shipment)) is not None:
            found.append(slow)
            rollback.append(slow.name)
    if shipment.sizing.gpus:
        found.append(_idle(shipment))
    return tuple(found), tuple(rollback)


def spend_budget(shipment: Shipment) -> Resource | None:
    """A budget by the day over the deployment's tag; None where nobody would be told.

    CloudWatch has no metric of what one endpoint costs. The tag has to be active as a cost
    allocation tag of the account.
    """
    limit, topic = bill_limit(shipment), shipment.shipping.alarms.topic_arn
    if limit is None or topic is None:
        return None
    return Resource(
        name="Spend",
        type="AWS::Budgets::Budget",
        properties={
            "Budget": {
                "BudgetType": "COST",
                "TimeUnit": "DAILY",
                "BudgetLimit": {"Amount": limit, "Unit": "USD"},
                "CostFilters": {
                    "TagKeyValue": [f"user:pilotage:deployment${shipment.deployment.name}"]
                },
            },
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
            ],
        },
    )


def _errors(shipment: Shipment) -> Resource:
    return alarm(
        "Errors",
        f"More than {_ERROR_PERCENT:g} % of the requests fail with 5xx: see the endpoint's log",
        _share(shipment, "Invocation5XXErrors"),
        Bound(threshold=_ERROR_PERCENT, periods=5),
        shipment,
    )


def _refusals(shipment: Shipment) -> Resource:
    return alarm(
        "Refusals",
        f"More than {_REFUSED_PERCENT:g} % of the requests are refused (4xx): too many for the "
        "instances (429), or clients that ask for what is not there",
        _share(shipment, "Invocation4XXErrors"),
        Bound(threshold=_REFUSED_PERCENT, periods=5),
        shipment,
    )


def _share(shipment: Shipment, bad: str) -> list[dict[str, Any]]:
    """Per cent of the requests; a percentage of nothing is none."""
    return [
        model_metric(shipment, bad, "Sum").query("bad", 60),
        model_metric(shipment, "Invocations", "Sum").query("asked", 60),
        {
            "Id": "share",
            "Label": bad,
            "Expression": "IF(asked > 0, 100 * bad / asked, 0)",
            "ReturnData": True,
        },
    ]


def _slow(shipment: Shipment) -> Resource | None:
    promised = shipment.deployment.slo.e2e_p99
    if promised is None:
        return None
    return alarm(
        "Latency",
        f"The model's latency at p99 is above the promised {promised:g} s",
        model_metric(shipment, "ModelLatency", "p99"),
        Bound(threshold=promised * 1e6, periods=5),
        shipment,
    )


def _failures(shipment: Shipment) -> Resource:
    return alarm(
        "Failures",
        "Requests of the queue fail: see failures/ in the bucket of answers, and the endpoint's "
        "log",
        endpoint_metric(shipment, "InvocationFailures", "Sum"),
        Bound(threshold=1, period_s=300, periods=2),
        shipment,
    )


def _stuck(shipment: Shipment) -> Resource:
    """Longer than a start takes: then instances do not come, or do not come up."""
    start = shipment.sizing.grace_s + 900
    return alarm(
        "Stuck",
        "Requests wait and no instance comes up: no capacity, a quota, or a container that does "
        "not start",
        endpoint_metric(shipment, "HasBacklogWithoutCapacity", "Average"),
        Bound(threshold=1, period_s=300, periods=max(2, -(-start // 300)), missing="notBreaching"),
        shipment,
    )


def _idle(shipment: Shipment) -> Resource:
    wanted = shipment.shipping.alarms.gpu_idle
    return alarm(
        "GpuIdle",
        f"The GPUs are used less than {wanted:g} % for {_IDLE_PERIODS} hours: fewer or smaller "
        "ones would do",
        # SageMaker adds the GPUs of an instance up.
        hardware_metric(shipment, "GPUUtilization", "Average"),
        Bound(
            threshold=wanted * shipment.sizing.gpus,
            below=True,
            period_s=_IDLE_S,
            periods=_IDLE_PERIODS,
        ),
        shipment,
    )
