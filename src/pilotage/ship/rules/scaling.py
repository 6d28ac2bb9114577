"""Rules of scaling policies and alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilotage.ship.rules.reading import at, number, of_type
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_POLICIES: Final = ("AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::AutoScaling::ScalingPolicy")
_TARGET: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
_ALARM: Final = "AWS::CloudWatch::Alarm"
_STATISTICS: Final = ("Average", "Minimum", "Maximum", "SampleCount", "Sum")
_PREDEFINED: Final = (
    "ECSServiceAverageCPUUtilization",
    "ECSServiceAverageMemoryUtilization",
    "ALBRequestCountPerTarget",
    "SageMakerVariantInvocationsPerInstance",
    "SageMakerVariantProvisionedConcurrencyUtilization",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    "SageMakerInferenceComponentInvocationsPerCopy",
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    "LambdaProvisionedConcurrencyUtilization",
    "ASGAverageCPUUtilization",
    "ASGAverageNetworkIn",
    "ASGAverageNetworkOut",
)
_LONGEST_COOLDOWN: Final = 3600


@rule(
    "p90-statistic",
    what="A percentile is no plain statistic: the policy is refused when the stack is made.",
    limit=f"Statistic is one of {', '.join(_STATISTICS)}; p90 goes into Metrics[].MetricStat.Stat",
)
def _p90_statistic(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, *_POLICIES):
        for kind in ("TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration"):
            value = at(one.properties, kind, "CustomizedMetricSpecification", "Statistic")
            if value is not None and value not in _STATISTICS:
                yield Finding(
                    f"{one.name}.{kind}.CustomizedMetricSpecification.Statistic",
                    str(value),
                    "Write CustomizedMetricSpecification.Metrics[].MetricStat.Stat: "
                    f'"{value}", with ReturnData',
                )


@rule(
    "alarm-statistic",
    what="A percentile is no plain statistic: the alarm is refused.",
    limit=f"an alarm's Statistic is one of {', '.join(_STATISTICS)}; p99 goes into "
    "ExtendedStatistic or Metrics[].MetricStat.Stat",
)
def _alarm_statistic(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _ALARM):
        value = one.properties.get("Statistic")
        if value is not None and value not in _STATISTICS:
            yield Finding(
                f"{one.name}.Statistic", str(value), f'Write ExtendedStatistic: "{value}"'
            )


@rule(
    "predefined-metric",
    what="There is no predefined GPU metric: the policy is refused.",
    limit="a predefined metric is one that Application Auto Scaling has; GPU utilisation is "
    "CWAgent/nvidia_smi_utilization_gpu of the CloudWatch agent",
)
def _predefined_metric(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, *_POLICIES):
        for kind in ("TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration"):
            path = (kind, "PredefinedMetricSpecification", "PredefinedMetricType")
            value = at(one.properties, *path)
            if value is not None and value not in _PREDEFINED:
                yield Finding(
                    f"{one.name}.{'.'.join(path)}",
                    str(value),
                    "Take a CustomizedMetricSpecification of the agent's metric",
                )


@rule(
    "scaling-order",
    what="Application Auto Scaling refuses the target.",
    limit="MinCapacity is at most MaxCapacity, and neither is negative",
    source="Application Auto Scaling RegisterScalableTarget (botocore)",
)
def _scaling_order(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, _TARGET):
        low, high = (number(one.properties.get(f"{end}Capacity")) for end in ("Min", "Max"))
        if low is not None and high is not None and not 0 <= low <= high:
            yield Finding(
                f"{one.name}.MinCapacity",
                f"{low:g} to {high:g}",
                "Set shipping.scaling.min and max in order",
            )


@rule(
    "scaling-max",
    what="More replicas than the plan and the spec allow are more money than anybody agreed to.",
    limit="MaxCapacity is at most the sizing's",
    source="shipping.scaling.max of the spec",
)
def _scaling_max(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    most = shipment.sizing.max_replicas
    for one in of_type(rendered, _TARGET):
        high = number(one.properties.get("MaxCapacity"))
        low = number(one.properties.get("MinCapacity"))
        if high is not None and high > most and (low is None or low <= high):
            yield Finding(
                f"{one.name}.MaxCapacity", f"{high:g}", f"At most {most}, or raise scaling.max"
            )


@rule(
    "cooldown",
    what="Application Auto Scaling refuses a negative one; after a long one load is unserved.",
    limit=f"cooldowns are 0 to {_LONGEST_COOLDOWN} s",
    source="the spec's shipping.scaling",
)
def _cooldown(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, *_POLICIES):
        for kind in ("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"):
            for field in ("ScaleInCooldown", "ScaleOutCooldown", "Cooldown"):
                value = number(at(one.properties, kind, field))
                if value is not None and not 0 <= value <= _LONGEST_COOLDOWN:
                    yield Finding(
                        f"{one.name}.{kind}.{field}",
                        f"{value:g} s",
                        f"Choose 0 to {_LONGEST_COOLDOWN}",
                    )


SCALING_RULES: Final = (
    _p90_statistic,
    _alarm_statistic,
    _predefined_metric,
    _scaling_order,
    _scaling_max,
    _cooldown,
)
