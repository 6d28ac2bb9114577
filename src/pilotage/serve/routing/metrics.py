"""Counts of routed attempts, for ``/metrics``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pilotage.route.attempt import Attempt, AttemptSink
from pilotage.route.backends.breaker import BreakerState
from pilotage.route.backends.tier import Tier
from pilotage.route.drift import Alert

_STATES: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class RouteMetrics:
    """Counts attempts on their way to the ledger. Labels are names of the spec, so they stay few.

    Args:
        ledger: Where attempts go.
    """

    def __init__(self, ledger: AttemptSink) -> None:
        self._ledger = ledger
        self._tiers: Mapping[str, Tier] = {}
        self._attempts: Counter[tuple[str, str, str, str]] = Counter()
        self._cost: dict[tuple[str, str], Decimal] = {}
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._alerts: Counter[str] = Counter()
        self._escalations = 0
        self._decision_s = 0.0
        self._decisions = 0

    def watch(self, tiers: Mapping[str, Tier]) -> None:
        """Show how these do."""
        self._tiers = tiers

    def record(self, attempt: Attempt) -> None:
        """See `AttemptSink.record`."""
        self._ledger.record(attempt)
        tier, role = attempt.tier, attempt.role.value
        self._attempts[tier, attempt.backend, role, attempt.outcome.value] += 1
        paid = (tier, role)
        self._cost[paid] = self._cost.get(paid, Decimal(0)) + attempt.cost
        self._tokens[tier, "input"] += attempt.usage.prompt_tokens
        self._tokens[tier, "output"] += attempt.usage.completion_tokens

    def alerted(self, alert: Alert) -> None:
        """Count an alert: a tier's answers are not as good as was predicted any more."""
        self._alerts[alert.tier] += 1

    def answered(self, *, escalations: int, added_s: float) -> None:
        """Count a request that was answered.

        Args:
            escalations: Tiers that were asked before the one whose answer went out.
            added_s: From its arrival until the first attempt could go out, seconds.
        """
        self._escalations += escalations
        self._decisions += 1
        self._decision_s += added_s

    def collect(self) -> Iterator[Metric]:
        """The metrics, for Prometheus."""
        attempts = CounterMetricFamily(
            "pilotage_route_attempts",
            "Attempts at an answer, by what they were for and how they ended.",
            labels=["tier", "backend", "role", "outcome"],
        )
        for labels, count in self._attempts.items():
            attempts.add_metric(list(labels), count)
        yield attempts
        cost = CounterMetricFamily(
            "pilotage_route_cost_usd", "US dollars that attempts cost.", labels=["tier", "role"]
        )
        for paid, dollars in self._cost.items():
            cost.add_metric(list(paid), float(dollars))
        yield cost
        tokens = CounterMetricFamily(
            "pilotage_route_tokens", "Tokens of attempts.", labels=["tier", "type"]
        )
        for kind, count in self._tokens.items():
            tokens.add_metric(list(kind), count)
        yield tokens
        yield CounterMetricFamily(
            "pilotage_route_escalations",
            "Answers that were not good enough, so that another tier was asked.",
            value=self._escalations,
        )
        alerts = CounterMetricFamily(
            "pilotage_route_drift_alerts",
            "Times that a tier's audited quality left what its calibration predicts.",
            labels=["tier"],
        )
        for tier in self._tiers:
            alerts.add_metric([tier], self._alerts[tier])
        yield alerts
        yield from self._health()
        yield CounterMetricFamily(
            "pilotage_route_answers", "Routed requests that were answered.", value=self._decisions
        )
        yield CounterMetricFamily(
            "pilotage_route_added_seconds",
            "Time that routed requests spent in the gateway before a backend was asked.",
            value=self._decision_s,
        )

    def _health(self) -> Iterator[Metric]:
        breakers = GaugeMetricFamily(
            "pilotage_route_breaker",
            "State of a backend's circuit breaker: 0 closed, 1 half open, 2 open.",
            labels=["backend"],
        )
        available = GaugeMetricFamily(
            "pilotage_route_available",
            "Whether a backend may be asked now: 0 while its breaker is open, a probe is under "
            "way, it asked for a pause, or it has all the requests it takes.",
            labels=["backend"],
        )
        in_flight = GaugeMetricFamily(
            "pilotage_route_in_flight", "Attempts under way at a backend.", labels=["backend"]
        )
        for tier in self._tiers.values():
            for backend in tier.health:
                breakers.add_metric([backend.name], _STATES[backend.state])
                available.add_metric([backend.name], backend.available)
                in_flight.add_metric([backend.name], backend.in_flight)
        yield breakers
        yield available
        yield in_flight
