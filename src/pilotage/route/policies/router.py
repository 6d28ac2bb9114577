"""The tier that is expected to be worth most, chosen before anything is generated."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.route.policies.policy import after_failure, expecting, keep_best, most_gain
from pilotage.route.policies.state import Action, Ask, GiveUp, State


@dataclass(frozen=True, slots=True)
class PreRouter:
    """Asks the tier with the most expected quality less λ times its expected cost.

    With λ = 0 and an estimate that only says where to begin, that is the cheapest tier which
    suffices. Without an estimate it is the last tier.

    Attributes:
        usd_weight: λ: expected quality that a US dollar is worth.
    """

    usd_weight: float = 0.0

    def decide(self, state: State) -> Action:
        """Ask the estimated tier, take what it says."""
        if state.answers:
            return keep_best(state, expecting(state, state.answers[-1].tier))
        if state.tried:
            return after_failure(state)
        if not state.open:
            return GiveUp()
        if not state.quality:
            return Ask(state.open[-1], "nobody estimated it")
        tier = most_gain(state, state.open, self.usd_weight, 0.0)
        return Ask(tier, expecting(state, tier))

    def bar(self, state: State, tier: str) -> float:
        """Everything is taken."""
        return 0.0
