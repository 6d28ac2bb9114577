"""What all policies share: the interface, what to begin with, and what to do about failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pilotage.route.policies.state import Action, Ask, GiveUp, State, Take, Tried


class Policy(Protocol):
    """Decides what to do next for a request.

    A policy is a pure function: the same state gives the same action. Followed step by step it
    comes to an end, since it asks no tier twice, and none once ``State.remaining`` is 0.

    `pilotage.route.calibration.simulate` states the policies for many rows at once, to measure
    them; the two say the same.
    """

    def decide(self, state: State) -> Action:
        """The next action."""
        ...

    def bar(self, state: State, tier: str) -> float:
        """The score from which a tier's answer would be taken, as far as is known before it."""
        ...


def with_tried(
    state: State, tried: Tried, *, generated: bool = True, time_left_s: float | None = None
) -> State:
    """The state after a tier was asked.

    Args:
        state: Before.
        tried: What came of it.
        generated: Whether it counts among the generations: a tier that was down generates nothing.
        time_left_s: Until the deadline, after it; as before if None.
    """
    # Spelt out: it is several times quicker than `dataclasses.replace`, on every request's way.
    return State(
        tiers=state.tiers,
        remaining=max(0, state.remaining - generated),
        quality=state.quality,
        cost=state.cost,
        latency_s=state.latency_s,
        tried=(*state.tried, tried),
        time_left_s=state.time_left_s if time_left_s is None else time_left_s,
    )


def would_take(policy: Policy, state: State, tier: str) -> bool:
    """Whether a tier's answer would be taken whatever the verifiers say of it.

    Then there is nothing to verify, and nothing to hold back from the client.
    """
    action = policy.decide(with_tried(state, Tried(tier=tier, score=0.0)))
    return isinstance(action, Take) and action.tier == tier


def most_gain(state: State, among: Sequence[str], usd_weight: float, second_usd: float) -> str:
    """Of some tiers the one with the most expected quality, less its price; of equals the first.

    Args:
        state: What is expected.
        among: Tiers, not none.
        usd_weight: λ, quality that a US dollar is worth.
        second_usd: US dollars that a second is worth.
    """
    return max(among, key=lambda tier: gain(state, tier, usd_weight, second_usd))


def gain(state: State, tier: str, usd_weight: float, second_usd: float) -> float:
    """E[quality] - λ·(E[cost] + second_usd·E[latency])."""
    usd = state.cost.get(tier, 0.0) + second_usd * state.latency_s.get(tier, 0.0)
    return state.quality.get(tier, 0.0) - usd_weight * usd


def expecting(state: State, tier: str) -> str:
    """Why a tier is asked, for the ledger."""
    value = state.quality.get(tier)
    return "nobody estimated it" if value is None else f"expected quality {value:.2f}"


def next_better(state: State, tier: str, among: Sequence[str]) -> str | None:
    """The next better tier of some."""
    above = state.tiers[state.tiers.index(tier) + 1 :]
    return next((one for one in above if one in among), None)


def best_answer(state: State) -> Tried | None:
    """The answer that is worth most; of equals the first."""
    return max(state.answers, key=state.worth, default=None)


def keep_best(state: State, why: str) -> Action:
    """Take the best answer there is."""
    kept = best_answer(state)
    return GiveUp() if kept is None else Take(kept.tier, why)


def after_failure(state: State, *, downwards: bool = True) -> Action:
    """What to do when the tier asked last gave no answer.

    The next better tier; without one the best answer there is; without one, if ``downwards``, the
    best tier below that may be asked, since a lesser answer is better than none.
    """
    failed = state.tried[-1].tier
    better = next_better(state, failed, state.open)
    if better is not None:
        return Ask(better, f"{failed} failed")
    kept = best_answer(state)
    if kept is not None:
        return Take(kept.tier, f"best there is: {failed} failed")
    if downwards and state.open:
        return Ask(state.open[-1], f"{failed} failed")
    return GiveUp()
