"""The load balancer of a stack: who is healthy behind it, and where it is reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import StackResource
from pilotage.ship.lifecycle.waiting import Waiting

GROUP_TYPE: Final = "AWS::ElasticLoadBalancingV2::TargetGroup"
BALANCER_TYPE: Final = "AWS::ElasticLoadBalancingV2::LoadBalancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """A load balancer.

    Attributes:
        url: Where it listens, by its own name.
        internal: Whether only its VPC reaches it.
    """

    url: str
    internal: bool


def balancer_in(aws: Aws, resources: Iterable[StackResource]) -> Balancer | None:
    """The load balancer that a stack holds; None if it holds none (yet)."""
    arn = next((one.id for one in resources if one.type == BALANCER_TYPE and one.id), None)
    if arn is None:
        return None
    answer = aws.try_call(
        "elbv2", "describe_load_balancers", "LoadBalancerNotFound", LoadBalancerArns=[arn]
    )
    if not answer or not answer.get("LoadBalancers"):
        return None
    told = answer["LoadBalancers"][0]
    listeners = aws.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
    ports = {int(one["Port"]): str(one["Protocol"]) for one in listeners}
    port, protocol = next(
        ((port, name) for port, name in sorted(ports.items()) if name == "HTTPS"),
        next(iter(sorted(ports.items())), (80, "HTTP")),
    )
    scheme, usual = ("https", 443) if protocol == "HTTPS" else ("http", 80)
    host = str(told["DNSName"])
    return Balancer(
        url=f"{scheme}://{host}" if port == usual else f"{scheme}://{host}:{port}",
        internal=told.get("Scheme") == "internal",
    )


def healthy(aws: Aws, resources: Iterable[StackResource]) -> int | None:
    """Targets that get requests; None without a target group."""
    targets = _targets(aws, resources)
    return None if targets is None else sum(one[1] == "healthy" for one in targets)


def await_healthy(
    aws: Aws, resources: Iterable[StackResource], wanted: int, *, say: Say, waiting: Waiting
) -> int | None:
    """Wait until that many targets get requests; None without a target group.

    Raises:
        TargetError: It took too long.
    """
    held = tuple(resources)
    last: list[tuple[str, str, str]] | None = None
    for _ in waiting.rounds("the health of the targets"):
        targets = _targets(aws, held)
        if targets is None:
            return None
        count = sum(one[1] == "healthy" for one in targets)
        if targets != last:
            reasons = sorted({f"{state}: {why}" for _, state, why in targets if why})
            text = f"{count} of {wanted} targets are healthy"
            say(Note(step="targets", text="; ".join([text, *reasons])))
            last = targets
        if count >= wanted:
            return count
    return None


def _targets(aws: Aws, resources: Iterable[StackResource]) -> list[tuple[str, str, str]] | None:
    arn = next((one.id for one in resources if one.type == GROUP_TYPE and one.id), None)
    if arn is None:
        return None
    answer: dict[str, Any] | None = aws.try_call(
        "elbv2", "describe_target_health", "TargetGroupNotFound", TargetGroupArn=arn
    )
    if answer is None:
        return None
    return sorted(
        (
            f"{one['Target']['Id']}:{one['Target'].get('Port', '')}",
            str(one["TargetHealth"].get("State", "")),
            str(one["TargetHealth"].get("Reason") or ""),
        )
        for one in answer.get("TargetHealthDescriptions") or ()
    )
