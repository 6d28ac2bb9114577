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
    """

    name = "logprobs"

    def __init__(self, models: Mapping[str, LogprobModel]) -> None:
        self._models = models

    @property
    def tiers(self) -> frozenset[str]:
        """The tiers whose answers it needs log-probabilities with."""
        return frozenset(self._models)

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """The expected quality of such an answer."""
        model = self._models.get(tier_name)
        if model is None or not answer.logprobs:
            return NO_OPINION
        # A prefix has no usage: the model reads its length as if it were all of it.
        usage = answer.usage
        tokens = usage.completion_tokens if usage is not None else len(answer.logprobs)
        score = model.score(answer.logprobs, tokens)
        return Verdict(score=score, reason=f"log-probabilities {score:.2f}")
