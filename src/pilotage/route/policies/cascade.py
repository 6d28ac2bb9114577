"""Start where the estimator says, and escalate while the verifiers are not content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pilotage.route.policies.policy import (
    after_failure,
    expecting,
    keep_best,
    most_gain,
    next_better,
)
from pilotage.route.policies.state import Action, Ask, GiveUp, State, Take


@dataclass(frozen=True, slots=True)
class Cascade:
    """Asks one tier after the other until an answer reaches its tier's threshold.

    The last tier's answer is always taken. When the generations or the time are used up before,
    the answer that is worth most is.

    Attributes:
        thresholds: Least score at which a tier's answer is taken, by tier. Tiers without one,
            whose answers would never be taken, are passed over.
        usd_weight: λ, to choose where to begin: expected quality that a US dollar is worth.
    """

    thresholds: Mapping[str, float]
    usd_weight: float = 0.0

    def decide(self, state: State) -> Action:
        """Ask the next tier, or take an answer that is good enough."""
        if not state.tried:
            return self._begin(state)
        last = state.tried[-1]
        if last.failed:
            return after_failure(state)
        why = self._content(state)
        if why is not None:
            return Take(last.tier, why)
        better = next_better(state, last.tier, self._worthwhile(state))
        if better is None:
            return keep_best(state, "the best of those that fell short")
        return Ask(better, f"{last.tier} fell short")

    def bar(self, state: State, tier: str) -> float:
        """The tier's threshold."""
        return 0.0 if tier == state.tiers[-1] else self.thresholds.get(tier, 1.0)

    def _begin(self, state: State) -> Action:
        among = self._worthwhile(state)
        if not among:
            return GiveUp()
        tier = most_gain(state, among, self.usd_weight, 0.0) if state.quality else among[0]
        return Ask(tier, expecting(state, tier))

    def _content(self, state: State) -> str | None:
        """Why the last answer is taken; None if it is not good enough."""
        last = state.tried[-1]
        if last.tier == state.tiers[-1]:
            return "the last tier"
        if last.score is None:
            # Unscored because nothing may follow: compared with those before it.
            return "no fault found" if state.remaining or len(state.answers) == 1 else None
        least = self.thresholds.get(last.tier)
        if least is None or last.score < least:
            return None
        return f"accepted: {last.score:.2f} >= {least:.2f}"

    def _worthwhile(self, state: State) -> tuple[str, ...]:
        return tuple(
            tier for tier in state.open if tier in self.thresholds or tier == state.tiers[-1]
        )
