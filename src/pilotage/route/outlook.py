"""What asking a tier is expected to cost, and how long it is expected to take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome
from pilotage.route.call import Call, text_of
from pilotage.route.pricing import TierPrice

_CHARS_A_TOKEN: Final = 4
_UNSEEN_TOKENS: Final = 256.0
_NEW_SHARE: Final = 0.05
"""Weight of the newest attempt in a mean: about the last forty count."""


class Outlook:
    """Expectations by tier, that follow what attempts turn out to be.

    Args:
        prices: By tier.
        completion_tokens: Mean length of each tier's answers as calibrated. These stay as they
            are: λ was fitted with them. Those of other tiers are learnt.
    """

    def __init__(
        self, prices: Mapping[str, TierPrice], completion_tokens: Mapping[str, float]
    ) -> None:
        self._prices = prices
        self._calibrated = completion_tokens
        self._tokens: dict[str, float] = {}
        self._latency_s: dict[str, float] = {}

    def cost(self, call: Call) -> dict[str, float]:
        """Expected US dollars of asking, by tier."""
        prompt = 1 + sum(len(text_of(one.get("content"))) for one in call.messages) // (
            _CHARS_A_TOKEN
        )
        most = call.max_tokens
        expected: dict[str, float] = {}
        for tier, price in self._prices.items():
            tokens = self._calibrated.get(tier, self._tokens.get(tier, _UNSEEN_TOKENS))
            completion = round(tokens if most is None else min(tokens, most))
            usage = Usage(prompt_tokens=prompt, completion_tokens=completion, images=call.images)
            expected[tier] = float(price.cost(usage))
        return expected

    def latency_s(self) -> dict[str, float]:
        """Expected seconds of asking, of the tiers that have been."""
        return dict(self._latency_s)

    def learn(self, attempt: Attempt) -> None:
        """Take an attempt into account, if it went well."""
        if attempt.outcome is not Outcome.OK:
            return
        _follow(self._latency_s, attempt.tier, attempt.latency_s)
        _follow(self._tokens, attempt.tier, float(attempt.usage.completion_tokens))


def _follow(means: dict[str, float], tier: str, value: float) -> None:
    before = means.get(tier, value)
    means[tier] = before + _NEW_SHARE * (value - before)
