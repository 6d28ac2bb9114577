"""How the number of tasks follows the load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.measurements import gpu_utilization, insights, own
from pilotage.ship.targets.ecs.names import (
    CLUSTER,
    LISTENER,
    LOAD_BALANCER,
    SCALABLE_TARGET,
    SERVICE,
    TARGET_GROUP,
)

SHARE_OF_SLO: Final = 0.8
"""Share of the promised latency that the 90th percentile is held at, if no target is given."""
SHARE_OF_CAPACITY: Final = 0.7
"""Share of what the plan says a replica can do, likewise."""
GPU_PERCENT: Final = 70.0
"""GPU utilisation, likewise."""
SHARE_WAITING: Final = 0.1
"""Requests waiting over sequences that run at once, likewise."""

# Target tracking asks for a value a minute.
_INTERVAL_S = 60


def scaling(layout: Layout) -> tuple[Resource, ...]:
    """Scalable target and policy; nothing where the spec says never.

    Raises:
        UsageError: The metric that is held can not be, or needs a target that nothing tells.
    """
    metric = layout.shipping.scaling.metric
    if metric == "none":
        return ()
    if metric == "gpu" and layout.kind != "gpu":
        raise UsageError(
            "the machines have no GPUs to hold the utilisation of",
            where="shipping.scaling.metric",
            hint='Scale on "queue" or "tokens_in_flight"',
        )
    return (_target(layout), _policy(layout, _METRICS[metric](layout)))


def _target(layout: Layout) -> Resource:
    return Resource(
        name=SCALABLE_TARGET,
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        properties={
            "ServiceNamespace": "ecs",
            "ScalableDimension": "ecs:service:DesiredCount",
            "ResourceId": Join(("service/", Ref(CLUSTER), "/", Attribute(SERVICE, "Name"))),
            "MinCapacity": layout.sizing.min_replicas,
            "MaxCapacity": layout.sizing.max_replicas,
        },
    )


def _policy(layout: Layout, held: Mapping[str, Any]) -> Resource:
    given = layout.shipping.scaling
    return Resource(
        name="ScalingPolicy",
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        properties={
            "PolicyName": f"{layout.name}-{given.metric}",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": Ref(SCALABLE_TARGET),
            "TargetTrackingScalingPolicyConfiguration": {
                **held,
                "ScaleInCooldown": round(given.scale_in_cooldown),
                # A replica that loads helps nobody yet: adding one a minute until the first
                # answers would add all there are.
                "ScaleOutCooldown": round(given.scale_out_cooldown),
            },
        },
        # The load balancer counts requests a target only once the two belong together.
        depends_on=(LISTENER,),
    )


def _p90_latency(layout: Layout) -> dict[str, Any]:
    slo = layout.shipment.deployment.slo
    promised, metric = slo.e2e_p99, "Duration"
    if promised is None and slo.ttft_p99 is not None:
        promised, metric = slo.ttft_p99, "TimeToFirstToken"
    seconds = _given(layout, None if promised is None else SHARE_OF_SLO * promised)
    # A percentile is no plain Statistic of a policy: it has to be a Stat among Metrics.
    return _held([_metric("latency", own(layout, metric), "p90", returned=True)], seconds * 1e3)


def _queue(layout: Layout) -> dict[str, Any]:
    at_once = _sequences(layout)
    target = _given(layout, None if at_once is None else max(1.0, SHARE_WAITING * at_once))
    return _held(
        [
            _metric("waited", own(layout, "QueueTime"), "Sum"),
            _metric("tasks", insights("RunningTaskCount"), "Average"),
            _result("waiting", f"FILL(waited, 0) / {1000 * _INTERVAL_S} / tasks"),
        ],
        target,
    )


def _tokens_in_flight(layout: Layout) -> dict[str, Any]:
    workload = layout.shipment.deployment.workload
    at_once = _sequences(layout)
    planned = None
    if workload is not None and at_once is not None:
        tokens = workload.prompt_tokens.p50 + workload.completion_tokens.p50
        planned = SHARE_OF_CAPACITY * at_once * tokens
    return _held(
        [
            _metric("took", own(layout, "Duration"), "Sum"),
            _metric("prompt", own(layout, "PromptTokens"), "Average"),
            _metric("completion", own(layout, "CompletionTokens"), "Average"),
            _metric("tasks", insights("RunningTaskCount"), "Average"),
            _result(
                "inflight",
                f"FILL(took, 0) / {1000 * _INTERVAL_S} * "
                "(FILL(prompt, 0) + FILL(completion, 0)) / tasks",
            ),
        ],
        _given(layout, planned),
    )


def _requests(layout: Layout) -> dict[str, Any]:
    plan = layout.shipment.plan
    able = None if plan is None else plan.predictions.requests_per_s
    planned = None
    if plan is not None and able is not None:
        replicas = plan.deployment.count * layout.replicas_per_instance
        planned = SHARE_OF_CAPACITY * 60 * able / replicas
    return {
        "TargetValue": _given(layout, planned),
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "ALBRequestCountPerTarget",
            "ResourceLabel": Join(
                (
                    Attribute(LOAD_BALANCER, "LoadBalancerFullName"),
                    "/",
                    Attribute(TARGET_GROUP, "TargetGroupFullName"),
                )
            ),
        },
    }


def _gpu(layout: Layout) -> dict[str, Any]:
    return _held(
        [_metric("load", gpu_utilization(layout), "Average", returned=True)],
        _given(layout, GPU_PERCENT),
    )


_METRICS: Final[Mapping[str, Callable[[Layout], dict[str, Any]]]] = {
    "p90_latency": _p90_latency,
    "queue": _queue,
    "tokens_in_flight": _tokens_in_flight,
    "requests": _requests,
    "gpu": _gpu,
}


def _sequences(layout: Layout) -> int | None:
    """Sequences that run at once in a replica, where something says."""
    plan = layout.shipment.plan
    planned = None if plan is None else plan.deployment.settings.get("max_num_seqs")
    given = layout.shipment.deployment.serving.max_num_seqs
    return int(planned) if isinstance(planned, int) else given


def _given(layout: Layout, derived: float | None) -> float:
    given = layout.shipping.scaling.target
    if given is not None:
        return given
    if derived is None:
        raise UsageError(
            f"neither the spec nor the plan tells at which {layout.shipping.scaling.metric} "
            "another replica is due",
            where="shipping.scaling.target",
            hint="Give the target, or ship with a plan",
        )
    return round(derived, 3)


def _held(metrics: list[dict[str, Any]], target: float) -> dict[str, Any]:
    return {
        "TargetValue": target,
        "CustomizedMetricSpecification": {"Metrics": metrics},
    }


def _metric(
    name: str, metric: dict[str, Any], stat: str, *, returned: bool = False
) -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {"Metric": metric, "Stat": stat},
        "ReturnData": returned,
    }


def _result(name: str, expression: str) -> dict[str, Any]:
    return {"Id": name, "Expression": expression, "ReturnData": True}
