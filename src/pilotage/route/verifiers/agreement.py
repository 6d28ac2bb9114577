"""Whether a tier gives the same answer twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pilotage.route.answer import Answer
from pilotage.route.attempt import Role
from pilotage.route.backends.backend import BackendError
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.route.verifiers.asking import whole_answer
from pilotage.route.verifiers.likeness import likeness
from pilotage.route.verifiers.verifier import Verdict

_TEMPERATURE: Final = 0.8
_LEAST_TEMPERATURE: Final = 0.7
"""Below it a model repeats itself whether it knows or not."""


class AgreementVerifier:
    """Draws another sample from the answer's tier and compares the two.

    What a model knows it says again; what it makes up it makes up anew (Wang et al.,
    "Self-Consistency", ICLR 2023; semantic agreement as a deferral rule: Yue et al., "Large
    Language Model Cascades with Mixture of Thought Representations", ICLR 2024).

    Args:
        tiers: By name.
    """

    name = "agreement"

    def __init__(self, tiers: Mapping[str, Tier]) -> None:
        self._tiers = tiers

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """How much the two have in common; no opinion where no second sample is to be had."""
        asked = call.body.get("temperature")
        warm = isinstance(asked, int | float) and asked >= _LEAST_TEMPERATURE
        # The same seed would draw the same answer.
        again = call.with_body(
            temperature=asked if warm else _TEMPERATURE, seed=None, logprobs=None, top_logprobs=None
        )
        stream = self._tiers[tier_name].answer(again, role=Role.SAMPLE, decision="second sample")
        try:
            sample = await whole_answer(stream)
        except BackendError as error:
            return Verdict(reason=f"no second sample: {error.fault}", cost=stream.cost)
        score, compared = likeness(call.prompt, answer, sample)
        return Verdict(
            score=score, reason=f"two samples agree to {score:.2f} ({compared})", cost=stream.cost
        )
