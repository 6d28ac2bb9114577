"""What the stacks are all made of: statements, roles, alarms, ARNs, a day's limit of spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilotage.catalog.prices import load_price_book
from pilotage.errors import UsageError
from pilotage.ship.cost import monthly_cost
from pilotage.ship.graph import Join, Ref, Resource
from pilotage.ship.target import Shipment

_SPEND_MARGIN: Final = 1.5
# A month of plans and bills has 730 hours.
_DAYS_A_MONTH: Final = 730 / 24

LOG_DAYS: Final = 30
"""Days that log lines are kept: long enough to look into a month's bill, paid by the GB."""


def tag_list(shipment: Shipment) -> list[dict[str, str]]:
    """The deployment's tags as most resources take them."""
    return [{"Key": key, "Value": value} for key, value in sorted(shipment.tags.items())]


def checked_name(shipment: Shipment, longest: int, what: str) -> str:
    """The deployment's name on the platform.

    Args:
        shipment: What is shipped.
        longest: Characters that the platform takes.
        what: Whose name it is, for the error.

    Raises:
        UsageError: It is too long.
    """
    if len(shipment.name) > longest:
        raise UsageError(
            f'{what} is named "{shipment.name}", which has {len(shipment.name)} characters; AWS '
            f"takes {longest}",
            where="name",
            hint=f"Shorten the deployment's name to {longest - len('pilotage-')}",
        )
    return shipment.name


def arn(service: str, *rest: object, region: object = None, account: bool = True) -> Join:
    """An ARN in the stack's partition.

    Args:
        service: Such as "sagemaker".
        rest: What follows the account.
        region: The stack's if None; "" for services without one.
        account: Whether it names the stack's account.
    """
    return Join(
        (
            "arn:",
            Ref("AWS::Partition"),
            f":{service}:",
            Ref("AWS::Region") if region is None else region,
            ":",
            Ref("AWS::AccountId") if account else "",
            ":",
            *rest,
        )
    )


def allow(
    sid: str,
    actions: list[str],
    resources: list[object],
    *,
    condition: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A statement of a policy that allows actions on exactly these resources."""
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": actions,
        "Resource": resources,
    }
    return statement if condition is None else {**statement, "Condition": dict(condition)}


def role(
    name: str,
    service: str,
    description: str,
    statements: list[dict[str, Any]],
    shipment: Shipment,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Resource:
    """A role that a service takes, with one policy of its own."""
    return Resource(
        name=name,
        type="AWS::IAM::Role",
        properties={
            "Description": description,
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": service},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": shipment.name,
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
            "Tags": tag_list(shipment),
        },
        metadata=metadata or {},
    )


def log_group(name: str, path: str, shipment: Shipment) -> Resource:
    """A log group that the stack owns, so that its lines do not stay, and cost, for ever."""
    return Resource(
        name=name,
        type="AWS::Logs::LogGroup",
        properties={
            "LogGroupName": path,
            "RetentionInDays": LOG_DAYS,
            "Tags": tag_list(shipment),
        },
        metadata=excepted(
            CKV_AWS_158="CloudWatch encrypts log groups with a key of its own; a key of ours "
            "would cost more than the logs and keep the same people out"
        ),
    )


def excepted(**reasons: str) -> dict[str, Any]:
    """Metadata by which checkov leaves a check of a resource out, with the reason."""
    return {"checkov": {"skip": [{"id": key, "comment": text} for key, text in reasons.items()]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of CloudWatch and one statistic of it.

    Attributes:
        namespace: Such as "AWS/Lambda".
        name: Such as "Errors".
        statistic: "Sum", "Average", "Maximum" … or a percentile, "p99".
        dimensions: By name; values may be references.
    """

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, object]

    def query(
        self, key: str, period_s: int | None = None, *, returned: bool = False
    ) -> dict[str, Any]:
        """As a query of metric mathematics, under the id ``key``.

        Alarms say how long a value sums up; scaling policies may not, theirs is a minute.
        """
        stat: dict[str, Any] = {
            "Metric": {
                "Namespace": self.namespace,
                "MetricName": self.name,
                "Dimensions": self.named(),
            },
            "Stat": self.statistic,
        }
        if period_s is not None:
            stat["Period"] = period_s
        return {"Id": key, "MetricStat": stat, "ReturnData": returned}

    def named(self) -> list[dict[str, object]]:
        """The dimensions as CloudWatch takes them."""
        return [{"Name": key, "Value": value} for key, value in self.dimensions.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """When an alarm goes off.

    Attributes:
        threshold: In the metric's unit.
        below: Whether it is too little instead of too much.
        period_s: Seconds that a value sums up.
        periods: Values in a row that have to be bad.
        missing: What no value means: "notBreaching", "breaching", "missing" or "ignore".
    """

    threshold: float
    below: bool = False
    period_s: int = 60
    periods: int = 5
    missing: str = "notBreaching"


def alarm(
    name: str,
    description: str,
    measured: Metric | list[dict[str, Any]],
    bound: Bound,
    shipment: Shipment,
    *,
    actions: list[object] | None = None,
) -> Resource:
    """An alarm, named after the deployment.

    Args:
        name: Its logical id, which is also the end of its name.
        description: What is wrong when it goes off, and where to look.
        measured: A metric, or queries one of which is returned.
        bound: When it goes off.
        shipment: What it watches.
        actions: Instead of the spec's topic.
    """
    topic = shipment.shipping.alarms.topic_arn
    properties: dict[str, Any] = {
        "AlarmName": f"{shipment.name}-{name}",
        "AlarmDescription": description,
        "ComparisonOperator": (
            "LessThanThreshold" if bound.below else "GreaterThanOrEqualToThreshold"
        ),
        "Threshold": bound.threshold,
        "EvaluationPeriods": bound.periods,
        "TreatMissingData": bound.missing,
    }
    if isinstance(measured, Metric):
        statistic = "ExtendedStatistic" if measured.statistic.startswith("p") else "Statistic"
        properties |= {
            "Namespace": measured.namespace,
            "MetricName": measured.name,
            "Dimensions": measured.named(),
            statistic: measured.statistic,
            "Period": bound.period_s,
        }
    else:
        properties["Metrics"] = measured
    if actions is not None:
        properties["AlarmActions"] = actions
    elif topic is not None:
        properties["AlarmActions"] = [topic]
        properties["OKActions"] = [topic]
    properties["Tags"] = tag_list(shipment)
    return Resource(name=name, type="AWS::CloudWatch::Alarm", properties=properties)


def daily_limit(shipment: Shipment) -> float | None:
    """US dollars a day that are too much: as given, or 1.5 times what the plan predicts.

    None where neither says anything.
    """
    return _limit(shipment, 0.0)


def bill_limit(shipment: Shipment) -> float | None:
    """Likewise, of all that bears the deployment's tags; never below the bill of its replicas.

    A plan counts what the load needs; the bill has the replicas that availability adds, too, and
    what lies around them. It is that of list prices: the user's own are on one machine and not on
    another, and a template is the same everywhere.
    """
    try:
        total = monthly_cost(shipment, load_price_book(shipment.shipping.region))
    except UsageError:
        return daily_limit(shipment)  # A price is not known: the plan's word stands.
    return _limit(shipment, float(total.desired.usd))


def _limit(shipment: Shipment, bill: float) -> float | None:
    given = shipment.shipping.alarms.usd_per_day
    if given is not None:
        return given
    predicted = shipment.plan.predictions.usd_per_month if shipment.plan else None
    monthly = max(predicted or 0.0, bill)
    return round(_SPEND_MARGIN * monthly / _DAYS_A_MONTH, 2) if monthly else None
