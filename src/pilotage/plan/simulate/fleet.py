"""Replicas together: how many, who gets which request, and what changes their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pilotage.errors import UsageError

Routing = Literal["least-loaded", "round-robin"]
Metric = Literal["utilisation", "requests", "p90_latency", "queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """Target tracking: the number of replicas that would bring a metric to its target.

    ``desired = ceil(replicas x metric / target)``, as AWS's target tracking and Kubernetes'
    horizontal autoscaler compute it, within `least` and `most`. (Kubernetes documentation,
    "Horizontal Pod Autoscaling", Algorithm details; AWS Application Auto Scaling user guide,
    "Target tracking scaling policies".)

    Attributes:
        metric: "utilisation": share of the period in which the engines were busy; "requests":
            requests in progress a replica; "p90_latency": seconds of the requests that ended in
            the period; "queue": requests waiting for a slot a replica.
        target: In the metric's unit, above 0.
        least: Fewest replicas.
        most: Most replicas.
        period_s: How often the metric is looked at.
        out_cooldown_s: Least time between two scale-outs.
        in_cooldown_s: Least time from any change to a scale-in.
        tolerance: Share by which the metric may be off its target without anything being done.
    """

    metric: Metric
    target: float
    least: int = 1
    most: int = 100
    period_s: float = 60.0
    out_cooldown_s: float = 60.0
    in_cooldown_s: float = 300.0
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if not (self.target > 0 and self.period_s > 0 and 1 <= self.least <= self.most):
            raise UsageError(
                "a target and a period above 0 and 1 <= least <= most are needed",
                where="autoscaling",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Interruptions of spot capacity.

    Attributes:
        interruptions_per_hour: Mean number an hour and replica; they come as a Poisson process.
        notice_s: From the notice to the end; AWS gives two minutes.
    """

    interruptions_per_hour: float
    notice_s: float = 120.0

    def __post_init__(self) -> None:
        if self.interruptions_per_hour < 0 or self.notice_s < 0:
            raise UsageError("neither rate nor notice can be below 0", where="spot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The replicas of a deployment.

    Attributes:
        replicas: Ready at the beginning.
        routing: "least-loaded": to the replica with the fewest requests in progress, the first
            of equals; "round-robin": in turn.
        start_s: From the decision for a new replica until it answers; it is paid for meanwhile.
        autoscaling: None for a fixed number.
        spot: None for capacity that stays.
    """

    replicas: int = 1
    routing: Routing = "least-loaded"
    start_s: float = 0.0
    autoscaling: Autoscaling | None = None
    spot: Spot | None = None

    def __post_init__(self) -> None:
        if self.replicas < 1 or self.start_s < 0:
            raise UsageError("at least one replica, and a start-up time from 0", where="fleet")

    @property
    def fixed(self) -> bool:
        """Whether the same replicas stay throughout."""
        return self.autoscaling is None and self.spot is None
