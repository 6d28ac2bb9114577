"""How sure the model was of its own tokens, through a logistic fitted on the user's data."""

from __future__ import annotations

from collections.abc import Mapping

from pilotage.route.answer import Answer
from pilotage.route.calibration.logprobs import LogprobModel
from pilotage.route.call import Call
from pilotage.route.verifiers.verifier import NO_OPINION, Verdict


class LogprobVerifier:
    """Turns an answer's log-probabilities into the probability that it is good enough.

    It has no opinion of tiers that it was not fitted for, nor of answers that came without
    log-probabilities (a backend may not tell them).

    Args:
        models: By tier.
        typical_tokens: How long each tier's answers are, to judge the beginning of one.
    """

    name = "logprobs"

    def __init__(
        self, models: Mapping[str, LogprobModel], typical_tokens: Mapping[str, float] | None = None
    ) -> None:
        self._models = models
        self._typical_tokens = typical_tokens or {}

    @property
    def tiers(self) -> frozenset[str]:
        """The tiers whose answers it needs log-probabilities with."""
        return frozenset(self._models)

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """The expected quality of such an answer."""
        model = self._models.get(tier_name)
        if model is None or not answer.logprobs:
            return NO_OPINION
        tokens = len(answer.logprobs)
        if answer.usage is not None:
            tokens = answer.usage.completion_tokens
        elif answer.finish_reason is None:
            # A beginning: its own length says nothing.
            tokens = max(tokens, round(self._typical_tokens.get(tier_name, 0.0)))
        score = model.score(answer.logprobs, tokens)
        return Verdict(score=score, reason=f"log-probabilities {score:.2f}")
