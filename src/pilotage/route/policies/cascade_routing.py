"""At each step the action with the best expected quality, less cost and latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilotage.route.policies.policy import (
    after_failure,
    best_answer,
    expecting,
    gain,
    most_gain,
)
from pilotage.route.policies.state import Action, Ask, GiveUp, State, Take, Tried


@dataclass(frozen=True, slots=True)
class CascadeRouting:
    """Asks as long as that promises more than the best answer in hand is worth.

    Of {take the best answer so far, ask tier m} it chooses the one with the most
    E[quality] - λ·E[cost] - μ·E[latency] (Dekoninck et al., "A Unified Approach to Routing and
    Cascading for LLMs", ICML 2025, arXiv 2410.10347). What was spent is spent and does not count;
    tiers may be skipped. `State.quality` follows what the verifiers said of earlier answers, since
    a request that one model failed is harder for the others too. The last tier's answer is always
    taken.

    Attributes:
        usd_weight: λ: expected quality that a US dollar is worth.
        second_usd: US dollars that a second is worth; μ is λ times this.
        thresholds: Without a calibration scores and estimates are no probabilities, and not to be
            compared; then an answer that scores this much is taken whatever else is promised, and
            where nobody estimated a tier's quality it is taken to be the tier's threshold.
    """

    usd_weight: float
    second_usd: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def decide(self, state: State) -> Action:
        """Ask the tier that promises most, or take the answer that is worth most."""
        if not state.tried:
            return self._begin(state)
        last = state.tried[-1]
        kept = best_answer(state)
        if last.failed or kept is None:
            return after_failure(state)
        if last.tier == state.tiers[-1]:
            return Take(last.tier, "the last tier")
        return self._weigh(state, kept)

    def _weigh(self, state: State, kept: Tried) -> Action:
        """The best answer in hand, or the tier that promises more."""
        worth = state.worth(kept)
        if worth >= self.thresholds.get(kept.tier, 2.0):
            return Take(kept.tier, f"accepted: {worth:.2f}")
        if not state.open:
            return Take(kept.tier, f"worth {worth:.2f}; nothing more may be asked")
        tier = self._most(state)
        promised = self._gain(state, tier)
        if promised > worth:
            return Ask(tier, f"promises {promised:.2f} > {worth:.2f}")
        return Take(kept.tier, f"worth {worth:.2f} >= {promised:.2f} of {tier}")

    def bar(self, state: State, tier: str) -> float:
        """What the most promising other tier promises."""
        others = [self._gain(state, one) for one in state.open if one != tier]
        best = max(others, default=0.0)
        return min(max(best, 0.0), self.thresholds.get(tier, 1.0), 1.0)

    def _begin(self, state: State) -> Action:
        if not state.open:
            return GiveUp()
        tier = self._most(state) if state.quality else state.open[0]
        return Ask(tier, expecting(state, tier))

    def _most(self, state: State) -> str:
        if state.quality:
            return most_gain(state, state.open, self.usd_weight, self.second_usd)
        # Nobody estimated anything: the next tier up that should be worth more.
        return state.open[0]

    def _gain(self, state: State, tier: str) -> float:
        if not state.quality:
            return self.thresholds.get(tier, 1.0)
        return gain(state, tier, self.usd_weight, self.second_usd)
