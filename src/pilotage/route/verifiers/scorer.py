"""What the answer's text gives away about its quality, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pilotage.errors import UsageError
from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers.verifier import NO_OPINION, Verdict

if TYPE_CHECKING:
    from pilotage.route.calibration.calibration import Calibration
    from pilotage.route.estimators.answer_scorer import AnswerScorer


class ScorerVerifier:
    """Reads whole answers with scorers that were fitted on the user's own data, in about 2 ms.

    It has no opinion of tiers that it was not fitted for, nor of answers without text or with
    calls of tools: those were not what it learnt from.

    Args:
        scorers: By the tier that answers; each with the place of that tier in what it says.
    """

    name = "scorer"

    def __init__(self, scorers: Mapping[str, tuple[AnswerScorer, int]]) -> None:
        self._scorers = scorers

    @classmethod
    def of(cls, calibration: Calibration | None) -> ScorerVerifier:
        """The verifier of a calibration.

        Raises:
            UsageError: It holds no scorer, or one that cannot be read.
        """
        if calibration is None or not calibration.scorer:
            raise UsageError(
                "scorer needs a calibration with answers",
                where="routing.verifier.checks",
                hint="Run pilotage route calibrate on data that has them, or leave scorer out",
            )
        from pilotage.route.estimators.answer_scorer import AnswerScorer  # noqa: PLC0415  NumPy

        scorers = {}
        for tier, data in calibration.scorer.items():
            scorer = AnswerScorer.from_dict(data)
            if scorer.models != len(calibration.tiers):
                raise UsageError(
                    f"the scorer of {tier} knows another number of tiers",
                    where="routing.calibration",
                    hint="Calibrate again",
                )
            scorers[tier] = (scorer, calibration.tiers.index(tier))
        return cls(scorers)

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """The expected quality of such an answer to such a prompt."""
        if tier_name not in self._scorers or answer.tool_calls or not answer.text.strip():
            return NO_OPINION
        scorer, place = self._scorers[tier_name]
        # On the event loop: a thread would take as long. Of long texts the ends are read, and what
        # is written to be slow keeps it for some 15 ms.
        score = float(scorer.predict([call.prompt], [answer.text])[0, place])
        return Verdict(score=score, reason=f"text {score:.2f}")
