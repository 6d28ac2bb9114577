"""Verifiers in their order: cheapest first, and no further than it takes to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from pilotage.route.answer import Answer
from pilotage.route.calibration.logistic import log_odds
from pilotage.route.call import Call
from pilotage.route.verifiers.refusal import declines
from pilotage.route.verifiers.verifier import Verdict, Verifier, at_fault

COSTLY: Final = frozenset({"agreement", "judge"})
"""Verifiers that ask a model."""

AMBIGUOUS: Final = 1.0
"""Log-odds. Expected quality nearer to the bar than this may be on its wrong side: around 0.85 that
is from 0.68 to 0.94. Beyond it a second opinion costs more than it tells."""


class Acceptance(Protocol):
    """Expected quality of an answer from all that is known of it: `Calibration`."""

    def acceptance(self, tier: str, scores: Mapping[str, float]) -> float | None:
        """See `Calibration.acceptance`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the verifiers found together.

    Attributes:
        score: 0 to 1. 0 if one found a fault; where calibrated the expected quality, given all
            scores; else the score of the last verifier with an opinion, which is the one that
            looked hardest. None if nobody has anything to say.
        reason: In a few words, for the ledger.
        scores: Each verifier's, by name, where it has one.
        cost: US dollars of finding out.
    """

    score: float | None = None
    reason: str = "no fault found"
    scores: Mapping[str, float] = field(default_factory=dict)
    cost: Decimal = Decimal(0)


class Panel:
    """Examines answers.

    Args:
        verifiers: In the order in which they are asked, cheapest first.
        calibration: Turns scores into expected quality, where it was fitted.
    """

    def __init__(
        self, verifiers: Sequence[Verifier], calibration: Acceptance | None = None
    ) -> None:
        self._verifiers = tuple(verifiers)
        self._calibration = calibration
        self._prefix_verifiers = tuple(one for one in verifiers if one.name == "logprobs")
        self._reads_refusals = any(one.name == "refusal" for one in verifiers)

    async def examine(
        self,
        call: Call,
        answer: Answer,
        tier: str,
        *,
        prior: float | None = None,
        bar: float = 1.0,
        costly: bool = True,
    ) -> Finding:
        """Judge a whole answer.

        Stops at the first fault. Verifiers that ask a model are asked only while no expected
        quality is clearly on one side of the bar.

        Args:
            call: The request.
            answer: A tier's answer to it.
            tier: Which.
            prior: What was expected before it was generated.
            bar: The score from which it would be taken.
            costly: Whether to ask verifiers that ask a model.
        """
        file = _File(tier, prior, self._calibration)
        for verifier in self._verifiers:
            if verifier.name in COSTLY and (not costly or file.is_clear(bar)):
                break
            if file.add(verifier.name, await verifier.verify(call, answer, tier)):
                break
        return file.finding()

    async def examine_prefix(
        self, call: Call, answer: Answer, tier: str, *, prior: float | None = None
    ) -> Finding:
        """Judge the beginning of an answer, by what can be told from it and costs nothing."""
        file = _File(tier, prior, self._calibration)
        if self._reads_refusals and declines(call, answer.text):
            file.add("refusal", at_fault("begins as a refusal"))
            return file.finding()
        for verifier in self._prefix_verifiers:
            file.add(verifier.name, await verifier.verify(call, answer, tier))
        # What was expected before it began is no reason to throw away what nobody has read.
        return file.finding() if file.finding().scores.keys() - {"acceptance"} else Finding()


class _File:
    """What has been said of one answer so far."""

    def __init__(self, tier: str, prior: float | None, calibration: Acceptance | None) -> None:
        self._tier = tier
        self._prior = {} if prior is None else {"prior": prior}
        self._calibration = calibration
        self._scores: dict[str, float] = {}
        self._score: float | None = None
        self._reason = Finding().reason
        self._cost = Decimal(0)
        self._fault = False

    def add(self, name: str, verdict: Verdict) -> bool:
        """Take a verdict down; whether it settles the matter."""
        self._cost += verdict.cost
        if verdict.score is None:
            return False
        self._scores[name] = self._score = verdict.score
        self._reason = verdict.reason
        self._fault = verdict.fault
        return verdict.fault

    def _expected(self) -> float | None:
        if self._calibration is None:
            return None
        return self._calibration.acceptance(self._tier, {**self._prior, **self._scores})

    def is_clear(self, bar: float) -> bool:
        """Whether the expected quality is clearly above the bar or below it."""
        expected = self._expected() if self._scores else None
        return expected is not None and abs(log_odds(expected) - log_odds(bar)) > AMBIGUOUS

    def finding(self) -> Finding:
        """The sum of it."""
        score, reason, scores = self._score, self._reason, dict(self._scores)
        expected = None if self._fault else self._expected()
        if expected is not None:
            score, scores["acceptance"] = expected, expected
            reason = f"acceptance {expected:.2f}"
        return Finding(score=score, reason=reason, scores=scores, cost=self._cost)
