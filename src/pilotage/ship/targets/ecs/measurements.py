"""The deployment's own metrics, from the one line that the server writes about each request.

``/metrics`` wants an API key, which a scraper beside the server would have to hold; the lines are
in CloudWatch Logs anyway, and a metric filter takes each request's figures as they are, so that
percentiles are true ones. What runs and waits is known by Little's law: the mean number in a place
is the arrivals' rate times the mean time there, which is the sum of the times in an interval over
its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilotage.ship.graph import Attribute, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    CLUSTER,
    LOAD_BALANCER,
    LOGS,
    SERVICE,
    TARGET_GROUP,
)
from pilotage.ship.targets.ecs.roles import METRICS_NAMESPACE

_ACCESS = '$.logger = "pilotage.access"'
_DONE = f'{_ACCESS} && $.model != "" && $.status = 200'


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One figure of the request lines.

    Attributes:
        metric: Its name in CloudWatch.
        pattern: Which lines.
        value: What of the line.
        unit: CloudWatch's.
        default: In a minute with other lines only; None says nothing then.
    """

    metric: str
    pattern: str
    value: str
    unit: str
    default: int | None = None


FILTERS: Final = (
    Filter(metric="Duration", pattern=_DONE, value="$.duration_ms", unit="Milliseconds"),
    Filter(
        metric="TimeToFirstToken",
        pattern=f"{_DONE} && $.ttft_ms >= 0",
        value="$.ttft_ms",
        unit="Milliseconds",
    ),
    Filter(
        metric="QueueTime",
        pattern=f"{_DONE} && $.queue_ms >= 0",
        value="$.queue_ms",
        unit="Milliseconds",
    ),
    Filter(metric="PromptTokens", pattern=_DONE, value="$.prompt_tokens", unit="Count"),
    Filter(metric="CompletionTokens", pattern=_DONE, value="$.completion_tokens", unit="Count"),
    Filter(
        metric="Rejected",
        pattern=f"{_ACCESS} && ($.status = 429 || $.status = 503)",
        value="1",
        unit="Count",
        default=0,
    ),
)
"""What is taken from the lines (`pilotage.serve.telemetry.logs.log_access`)."""


def metric_filters(layout: Layout) -> tuple[Resource, ...]:
    """The filters of the deployment's log group."""
    return tuple(
        Resource(
            name=f"{one.metric}Filter",
            type="AWS::Logs::MetricFilter",
            properties={
                "LogGroupName": Ref(LOGS),
                "FilterPattern": f"{{ {one.pattern} }}",
                "MetricTransformations": [
                    {
                        "MetricNamespace": layout.metrics_namespace,
                        "MetricName": one.metric,
                        "MetricValue": one.value,
                        "Unit": one.unit,
                        **({} if one.default is None else {"DefaultValue": one.default}),
                    }
                ],
            },
        )
        for one in FILTERS
    )


def own(layout: Layout, metric: str) -> dict[str, Any]:
    """A metric of the deployment's own."""
    return {"Namespace": layout.metrics_namespace, "MetricName": metric}


def balancer(metric: str, *, target_group: bool = True) -> dict[str, Any]:
    """A metric of the load balancer."""
    dimensions = [
        {"Name": "LoadBalancer", "Value": Attribute(LOAD_BALANCER, "LoadBalancerFullName")}
    ]
    if target_group:
        dimensions.append(
            {"Name": "TargetGroup", "Value": Attribute(TARGET_GROUP, "TargetGroupFullName")}
        )
    return {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": dimensions}


def insights(metric: str) -> dict[str, Any]:
    """A metric of the service, from container insights."""
    return {
        "Namespace": "ECS/ContainerInsights",
        "MetricName": metric,
        "Dimensions": [
            {"Name": "ClusterName", "Value": Ref(CLUSTER)},
            {"Name": "ServiceName", "Value": Attribute(SERVICE, "Name")},
        ],
    }


def gpu_utilization(layout: Layout) -> dict[str, Any]:
    """Load of the deployment's GPUs in percent, from the agent on its machines."""
    return {
        "Namespace": METRICS_NAMESPACE,
        "MetricName": "nvidia_smi_utilization_gpu",
        "Dimensions": [{"Name": "Deployment", "Value": layout.deployment}],
    }
