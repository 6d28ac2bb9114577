"""One tier for everything."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.route.policies.policy import after_failure, keep_best
from pilotage.route.policies.state import Action, Ask, GiveUp, State


@dataclass(frozen=True, slots=True)
class Static:
    """Always the same tier.

    Attributes:
        tier: Its name.
        fall_back: Whether a better tier answers when it cannot. Never a lesser one, which nobody
            who chose one tier has asked for.
    """

    tier: str
    fall_back: bool = True

    def decide(self, state: State) -> Action:
        """Ask the tier, take what it says."""
        if state.answers:
            return keep_best(state, "static" if len(state.tried) == 1 else "the tier failed")
        if state.tried:
            return after_failure(state, downwards=False) if self.fall_back else GiveUp()
        return Ask(self.tier, "static") if self.tier in state.open else GiveUp()

    def bar(self, state: State, tier: str) -> float:
        """Everything is taken."""
        return 0.0
