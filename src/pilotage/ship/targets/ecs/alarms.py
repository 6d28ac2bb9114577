"""Alarms: too slow, failing, refusing, idle, never up, short of machines."""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.ship.graph import Resource
from pilotage.ship.monitoring.thresholds import FAILED_PERCENT, REJECTED_PERCENT
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.measurements import balancer, gpu_utilization, insights, own

_MINUTES_LONG: Final = 5
_PERIOD_S: Final = 300
_IDLE_PERIODS: Final = 12
# CloudWatch looks back a day at most with periods below an hour.
_MOST_PERIODS: Final = 86_400 // _PERIOD_S
_MARGIN_S: Final = 600


def alarms(layout: Layout) -> tuple[Resource, ...]:
    """The alarms of a deployment; to the topic of the spec, if it names one."""
    slo = layout.shipment.deployment.slo
    found = [
        _latency(layout, name, metric, promised)
        for name, metric, promised in (
            ("SlowAnswers", "Duration", slo.e2e_p99),
            ("SlowFirstTokens", "TimeToFirstToken", slo.ttft_p99),
        )
        if promised is not None
    ]
    found += [_failures(layout), _rejects(layout), *_missing(layout)]
    if layout.kind == "gpu":
        found.append(_idle(layout))
    return tuple(found)


def _latency(layout: Layout, name: str, metric: str, promised: float) -> Resource:
    return _alarm(
        layout,
        name,
        f"{metric} at p99 is above the promised {promised:g} s.",
        {
            **own(layout, metric),
            "ExtendedStatistic": "p99",
            "Unit": "Milliseconds",
            "Period": 60,
            "EvaluationPeriods": _MINUTES_LONG,
            "DatapointsToAlarm": 3,
            "Threshold": promised * 1e3,
            "ComparisonOperator": "GreaterThanThreshold",
            # A handful of requests has no 99th percentile worth waking anybody for.
            "EvaluateLowSampleCountPercentile": "ignore",
        },
    )


def _failures(layout: Layout) -> Resource:
    return _alarm(
        layout,
        "FailedAnswers",
        f"More than {FAILED_PERCENT:g} % of the answers are 5xx.",
        _math(
            "100 * (FILL(server, 0) + FILL(balancer, 0)) / requests",
            {
                "server": (balancer("HTTPCode_Target_5XX_Count"), "Sum"),
                "balancer": (balancer("HTTPCode_ELB_5XX_Count", target_group=False), "Sum"),
                "requests": (balancer("RequestCount", target_group=False), "Sum"),
            },
            threshold=FAILED_PERCENT,
        ),
    )


def _rejects(layout: Layout) -> Resource:
    return _alarm(
        layout,
        "RejectedRequests",
        f"More than {REJECTED_PERCENT:g} % of the requests are refused for want of room: more "
        "arrives than was planned for, or replicas are missing.",
        _math(
            "100 * FILL(rejected, 0) / requests",
            {
                "rejected": (own(layout, "Rejected"), "Sum"),
                "requests": (balancer("RequestCount", target_group=False), "Sum"),
            },
            threshold=REJECTED_PERCENT,
        ),
    )


def _missing(layout: Layout) -> tuple[Resource, ...]:
    patience = layout.sizing.grace_s + _MARGIN_S
    periods = min(_MOST_PERIODS, math.ceil(patience / _PERIOD_S))
    return (
        _alarm(
            layout,
            "CrashLoop",
            "Fewer replicas answer than there should be, for longer than one takes to load: they "
            "crash, or never come up. See the log group.",
            _math(
                "desired - healthy",
                {
                    "desired": (insights("DesiredTaskCount"), "Average"),
                    "healthy": (balancer("HealthyHostCount"), "Minimum"),
                },
                threshold=0,
                period=_PERIOD_S,
                periods=periods,
                missing="breaching",
            ),
        ),
        _alarm(
            layout,
            "TasksMissing",
            "Fewer tasks run than there should be: no machine is to be had, or the quota is used "
            "up. See the service's events.",
            _math(
                "desired - running",
                {
                    "desired": (insights("DesiredTaskCount"), "Average"),
                    "running": (insights("RunningTaskCount"), "Average"),
                },
                threshold=0,
                period=_PERIOD_S,
                periods=4,
                missing="breaching",
            ),
        ),
    )


def _idle(layout: Layout) -> Resource:
    least = layout.shipping.alarms.gpu_idle
    return _alarm(
        layout,
        "IdleGpus",
        f"The GPUs do less than {least:g} % for an hour: fewer or smaller ones would do.",
        {
            **gpu_utilization(layout),
            "Statistic": "Average",
            "Period": _PERIOD_S,
            "EvaluationPeriods": _IDLE_PERIODS,
            "Threshold": least,
            "ComparisonOperator": "LessThanThreshold",
        },
    )


def _math(
    expression: str,
    metrics: dict[str, tuple[dict[str, Any], str]],
    *,
    threshold: float,
    period: int = 60,
    periods: int = _MINUTES_LONG,
    missing: str = "notBreaching",
) -> dict[str, Any]:
    return {
        "Metrics": [
            {"Id": "result", "Expression": expression, "ReturnData": True},
            *(
                {
                    "Id": name,
                    "MetricStat": {"Metric": metric, "Period": period, "Stat": stat},
                    "ReturnData": False,
                }
                for name, (metric, stat) in metrics.items()
            ),
        ],
        "EvaluationPeriods": periods,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": missing,
    }


def _alarm(layout: Layout, name: str, what: str, properties: dict[str, Any]) -> Resource:
    topic = layout.shipping.alarms.topic_arn
    return Resource(
        name=f"{name}Alarm",
        type="AWS::CloudWatch::Alarm",
        properties={
            "AlarmDescription": f"{layout.deployment}: {what}",
            "TreatMissingData": "notBreaching",
            **properties,
            **({"AlarmActions": [topic], "OKActions": [topic]} if topic else {}),
        },
    )
