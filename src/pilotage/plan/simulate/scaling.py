"""When a fleet grows and shrinks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pilotage.plan.simulate.fleet import Autoscaling
from pilotage.plan.simulate.replica import Replica


class Controller:
    """Looks at a metric once a period and says how many replicas to add or take away.

    Args:
        policy: What to aim for.
        replicas: All replicas ever, by number; the list grows.
    """

    def __init__(self, policy: Autoscaling, replicas: Sequence[Replica]) -> None:
        self.policy = policy
        self._replicas = replicas
        self._latencies: list[float] = []
        self._busy: dict[int, float] = {}
        self._last_out = self._last_change = -math.inf

    def ended(self, latency_s: float) -> None:
        """A request ended, so long after it arrived."""
        self._latencies.append(latency_s)

    def change(self, now: float, serving: Sequence[int], starting: int) -> int:
        """Replicas to add (above 0) or to take away (below) at the end of a period.

        The metric is an average over those that serve, and replicas in start-up count as
        capacity that is on its way, so that they are not asked for twice.
        """
        policy = self.policy
        metric = self._metric(serving)
        self._latencies.clear()
        have = len(serving) + starting
        ratio = metric / policy.target
        if abs(ratio - 1) <= policy.tolerance or not serving:
            desired = have
        else:
            desired = math.ceil(len(serving) * ratio - 1e-9)
        desired = min(policy.most, max(policy.least, desired))
        if desired > have:
            if now - self._last_out < policy.out_cooldown_s and have >= policy.least:
                return 0
            self._last_out = self._last_change = now
        elif desired < have:
            # What is on its way was wanted a moment ago; only serving ones are judged idle.
            if now - self._last_change < policy.in_cooldown_s or ratio >= 1:
                return 0
            self._last_change = now
        return desired - have

    def _metric(self, serving: Sequence[int]) -> float:
        values = [self._replicas[number] for number in serving]
        kind = self.policy.metric
        if kind == "p90_latency":
            return float(np.quantile(self._latencies, 0.9)) if self._latencies else 0.0
        if not values:
            return 0.0
        if kind == "requests":
            return sum(replica.outstanding for replica in values) / len(values)
        if kind == "queue":
            return sum(replica.waiting for replica in values) / len(values)
        busy = 0.0
        for number, replica in zip(serving, values, strict=True):
            busy += replica.busy_s - self._busy.get(number, 0.0)
            self._busy[number] = replica.busy_s
        return min(1.0, busy / (len(values) * self.policy.period_s))
