"""How the number of instances, or of copies, follows the load.

=================  ==================================================================
``scaling.metric``  what is held
=================  ==================================================================
``queue``          requests in flight an instance (SageMaker has no metric of a queue)
``requests``       requests a minute an instance
``p90_latency``    the model's latency at p90, by metric mathematics
``gpu``            GPU utilisation in percent of all GPUs of an instance
=================  ==================================================================

Async endpoints hold the backlog an instance, whichever is named: their requests wait anyway.
"""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import Bound, Metric, alarm, tag_list
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.config import by_components, concurrency
from pilotage.ship.targets.sagemaker.metrics import endpoint_metric, hardware_metric, model_metric

_HEADROOM: Final = 0.8
"""Share of what a replica can do that is held: the rest is for what comes while one starts."""

_GPU_PERCENT: Final = 70.0
_WAKE_S: Final = 60


def scaling_resources(shipment: Shipment) -> tuple[Resource, ...]:
    """The scalable target and its policies; none where the spec says ``none``.

    Raises:
        UsageError: The metric is none that SageMaker has, or nothing says its target.
    """
    asynchronous = shipment.target == "sagemaker-async"
    if shipment.shipping.scaling.metric == "none":
        if shipment.sizing.min_replicas == 0:
            raise UsageError(
                "scaling to zero needs scaling: with metric none it would stay as it is",
                where="shipping.scaling.metric",
                hint="Use queue or requests, or scaling.min: 1",
            )
        return ()
    found = [_scalable(shipment), _tracking(shipment, asynchronous=asynchronous)]
    if shipment.sizing.min_replicas == 0:
        found += [_from_zero(shipment), _wake(shipment, asynchronous=asynchronous)]
    return tuple(found)


def _scalable(shipment: Shipment) -> Resource:
    if by_components(shipment):
        # A component has no attribute with its name (CloudFormation resource schema).
        place: object = f"inference-component/{shipment.name}"
        dimension = "sagemaker:inference-component:DesiredCopyCount"
    else:
        name = Attribute(names.ENDPOINT, "EndpointName")
        place = Join(("endpoint/", name, f"/variant/{names.VARIANT}"))
        dimension = "sagemaker:variant:DesiredInstanceCount"
    return Resource(
        name=names.SCALABLE,
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        properties={
            "ServiceNamespace": "sagemaker",
            "ResourceId": place,
            "ScalableDimension": dimension,
            "MinCapacity": shipment.sizing.min_replicas,
            "MaxCapacity": max(1, shipment.sizing.max_replicas),
            "Tags": tag_list(shipment),
        },
        depends_on=(names.COMPONENT,) if by_components(shipment) else (),
    )


def _tracking(shipment: Shipment, *, asynchronous: bool) -> Resource:
    scaling = shipment.shipping.scaling
    held = _backlog(shipment) if asynchronous else _held(shipment)
    return _scaling_policy(
        names.TRACKING,
        shipment,
        "TargetTrackingScaling",
        {
            "TargetTrackingScalingPolicyConfiguration": {
                **held,
                "ScaleInCooldown": math.ceil(scaling.scale_in_cooldown),
                "ScaleOutCooldown": math.ceil(scaling.scale_out_cooldown),
            }
        },
    )


def _backlog(shipment: Shipment) -> dict[str, Any]:
    metric = endpoint_metric(shipment, "ApproximateBacklogSizePerInstance", "Average")
    target = shipment.shipping.scaling.target or float(concurrency(shipment))
    return {
        "CustomizedMetricSpecification": {
            "Namespace": metric.namespace,
            "MetricName": metric.name,
            "Dimensions": metric.named(),
            "Statistic": metric.statistic,
        },
        "TargetValue": target,
    }


def _held(shipment: Shipment) -> dict[str, Any]:
    scaling, components = shipment.shipping.scaling, by_components(shipment)
    match scaling.metric:
        case "queue":
            waiting = scaling.target or 0.0
            return _predefined(
                "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
                if components
                else "SageMakerVariantConcurrentRequestsPerModelHighResolution",
                _in_flight(shipment) + waiting,
            )
        case "requests":
            return _predefined(
                "SageMakerInferenceComponentInvocationsPerCopy"
                if components
                else "SageMakerVariantInvocationsPerInstance",
                scaling.target or _a_minute(shipment),
            )
        case "p90_latency":
            seconds = scaling.target or _latency(shipment)
            # SageMaker measures in microseconds; a percentile is no top-level statistic.
            queries = [
                model_metric(shipment, "ModelLatency", "p90").query("latency", returned=True)
            ]
            return _customised(queries, round(seconds * 1e6, 3))
        case "gpu":
            return _gpu(shipment)
        case other:
            raise UsageError(
                f"SageMaker has no metric {other}",
                where="shipping.scaling.metric",
                hint="Use queue (requests in flight), requests, p90_latency or gpu",
            )


def _gpu(shipment: Shipment) -> dict[str, Any]:
    gpus = shipment.sizing.gpus
    if not gpus:
        raise UsageError(
            "there is no GPU whose utilisation could be held",
            where="shipping.scaling.metric",
            hint="Use queue or requests",
        )
    # SageMaker adds the GPUs up: four of them reach 400.
    used = hardware_metric(shipment, "GPUUtilization", "Average").query("used")
    share = {"Id": "share", "Expression": f"used / {gpus}", "ReturnData": True}
    return _customised([used, share], shipment.shipping.scaling.target or _GPU_PERCENT)


def _in_flight(shipment: Shipment) -> float:
    """Requests in flight that a replica carries: Little's law, or what its engine batches."""
    plan = shipment.plan
    if plan is not None:
        most, e2e = plan.predictions.requests_per_s, plan.predictions.e2e
        if most is not None and e2e is not None and e2e.p50 is not None:
            each = most / plan.deployment.count
            return max(1.0, round(_HEADROOM * each * e2e.p50, 1))
        if settings := plan.deployment.settings.get("max_num_seqs"):
            return max(1.0, round(_HEADROOM * float(settings), 1))
    if given := shipment.deployment.serving.max_num_seqs:
        return max(1.0, round(_HEADROOM * given, 1))
    raise _no_target(
        "how many requests a replica carries at once", "serving.max_num_seqs, or pass a plan"
    )


def _a_minute(shipment: Shipment) -> float:
    plan = shipment.plan
    if plan is None:
        raise _no_target("how many requests a minute a replica answers", "scaling.target")
    most = plan.predictions.requests_per_s or plan.predictions.rate
    return max(1.0, round(_HEADROOM * 60 * most / plan.deployment.count, 1))


def _latency(shipment: Shipment) -> float:
    promised = shipment.deployment.slo.e2e_p99
    if promised is None:
        raise _no_target("which latency is promised", "slo.e2e_p99 or scaling.target")
    return _HEADROOM * promised


def _no_target(what: str, give: str) -> UsageError:
    return UsageError(
        f"nothing says {what}, so that the value to hold is not known",
        where="shipping.scaling.target",
        hint=f"Give {give}",
    )


def _predefined(metric: str, target: float) -> dict[str, Any]:
    return {
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        "TargetValue": target,
    }


def _customised(queries: list[dict[str, Any]], target: float) -> dict[str, Any]:
    return {"CustomizedMetricSpecification": {"Metrics": queries}, "TargetValue": target}


def _from_zero(shipment: Shipment) -> Resource:
    return _scaling_policy(
        names.FROM_ZERO,
        shipment,
        "StepScaling",
        {
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Maximum",
                # A second alarm while the first instance still starts shall not add another.
                "Cooldown": shipment.sizing.grace_s,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            }
        },
    )


def _wake(shipment: Shipment, *, asynchronous: bool) -> Resource:
    """The alarm that somebody waits and nobody is there: target tracking divides by zero then."""
    if asynchronous:
        metric = endpoint_metric(shipment, "HasBacklogWithoutCapacity", "Average")
        periods = 2
    else:
        metric = Metric(
            namespace="AWS/SageMaker",
            name="NoCapacityInvocationFailures",
            statistic="Maximum",
            dimensions={"InferenceComponentName": shipment.name},
        )
        periods = 1
    return alarm(
        names.WAKE,
        "Requests came and no instance is there: one is started",
        metric,
        Bound(threshold=1, period_s=_WAKE_S, periods=periods, missing="missing"),
        shipment,
        actions=[Ref(names.FROM_ZERO)],
    )


def _scaling_policy(
    name: str, shipment: Shipment, kind: str, configuration: dict[str, Any]
) -> Resource:
    return Resource(
        name=name,
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        properties={
            "PolicyName": f"{shipment.name}-{name}",
            "PolicyType": kind,
            "ScalingTargetId": Ref(names.SCALABLE),
            **configuration,
        },
    )
