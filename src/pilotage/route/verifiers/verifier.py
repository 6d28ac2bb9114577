"""What judges an answer after it was generated."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from pilotage.route.answer import Answer
from pilotage.route.call import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verifier thinks of an answer.

    Attributes:
        score: From 0 (useless) to 1 (as good as can be). None is no opinion: there was nothing to
            look at, or the verifier only finds faults and found none.
        reason: In a few words, for the ledger; nothing of the prompt or the answer is in it.
        fault: The answer cannot be used, whatever else is said of it; the score is 0.
        cost: US dollars that it cost to find out.
    """

    score: float | None = None
    reason: str = ""
    fault: bool = False
    cost: Decimal = Decimal(0)


class Verifier(Protocol):
    """Judges answers; it has no opinion where it cannot tell, and never fails.

    Attributes:
        name: The spec's word for it, and the key of its score in the ledger.
    """

    @property
    def name(self) -> str:
        """As in the attributes."""
        ...

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """Judge a whole answer of a tier."""
        ...


def at_fault(reason: str, cost: Decimal = Decimal(0)) -> Verdict:
    """The verdict on an answer that cannot be used, whatever else is said of it."""
    return Verdict(score=0.0, reason=reason, fault=True, cost=cost)


NO_OPINION = Verdict()
