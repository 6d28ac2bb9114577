"""What a policy knows when it decides, and what it may decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A tier that has been asked.

    Attributes:
        tier: Its name.
        score: What the verifiers give its answer, 0 to 1; None if they have no opinion.
        failed: It gave no answer.
    """

    tier: str
    score: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A request in the middle of being answered.

    Attributes:
        tiers: All tiers, from the cheapest to the best.
        quality: Expected quality by tier, 0 to 1, in the light of what was tried; empty if nobody
            estimated it.
        cost: Expected US dollars of asking, by tier.
        latency_s: Expected seconds of asking, by tier.
        tried: What has been asked, in order.
        remaining: How many answers may still be generated.
        time_left_s: Until the request's deadline.
    """

    tiers: tuple[str, ...]
    remaining: int
    quality: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    latency_s: Mapping[str, float] = field(default_factory=dict)
    tried: tuple[Tried, ...] = ()
    time_left_s: float = float("inf")

    def worth(self, tried: Tried) -> float:
        """What an answer is worth: its score; what was expected of it where nobody scored it.

        An answer that nothing at all is known of is taken for good: no fault was found.
        """
        return self.quality.get(tried.tier, 1.0) if tried.score is None else tried.score

    @property
    def answers(self) -> tuple[Tried, ...]:
        """The tiers that gave an answer."""
        return tuple(one for one in self.tried if not one.failed)

    @property
    def open(self) -> tuple[str, ...]:
        """The tiers that may still be asked, from the cheapest to the best.

        No tier is asked twice. While there is an answer to fall back on, a tier that is not
        expected to be done by the deadline is not asked either.
        """
        if self.remaining <= 0 or self.time_left_s <= 0:
            return ()
        asked = {one.tier for one in self.tried}
        in_hand = bool(self.answers)
        return tuple(
            tier
            for tier in self.tiers
            if tier not in asked
            and not (in_hand and self.latency_s.get(tier, 0.0) > self.time_left_s)
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a tier."""

    tier: str
    why: str


@dataclass(frozen=True, slots=True)
class Take:
    """Answer with what a tier has given."""

    tier: str
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing was answered and nothing may be asked."""


Action = Ask | Take | GiveUp
