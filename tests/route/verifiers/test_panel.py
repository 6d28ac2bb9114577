"""Verifiers one after the other, no further than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers import Finding, Panel, RefusalVerifier, Verdict

CALL = Call(body={"messages": [{"role": "user", "content": "Hi"}]}, request_id="r")


class Fixed:
    """A verifier that always says the same."""

    def __init__(self, name: str, score: float | None, *, fault: bool = False, usd: str = "0"):
        self.name = name
        self.asked = 0
        self._verdict = Verdict(score=score, reason=name, fault=fault, cost=Decimal(usd))

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        self.asked += 1
        return self._verdict


class Averages:
    """A calibration that takes the mean of all that is known of tiers other than one."""

    def acceptance(self, tier: str, scores: Mapping[str, float]) -> float | None:
        return None if tier == "unknown" else sum(scores.values()) / len(scores)


def examine(panel: Panel, tier: str = "small", **fields: Any) -> Finding:
    return asyncio.run(panel.examine(CALL, Answer(text="Hello"), tier, **fields))


def test_a_fault_ends_it() -> None:
    judge = Fixed("judge", 1.0)
    found = examine(Panel([Fixed("schema", 0.0, fault=True), judge], Averages()))
    assert (found.score, found.reason, found.scores) == (0.0, "schema", {"schema": 0.0})
    assert judge.asked == 0


def test_the_last_with_an_opinion_counts_and_all_are_paid() -> None:
    verifiers = [
        Fixed("schema", None),
        Fixed("agreement", 0.4, usd="0.5"),
        Fixed("judge", 0.8, usd="0.25"),
    ]
    found = examine(Panel(verifiers))
    assert (found.score, found.reason) == (0.8, "judge")
    assert found.scores == {"agreement": 0.4, "judge": 0.8}
    assert found.cost == Decimal("0.75")
    # One that has no opinion costs nevertheless.
    assert examine(Panel([Fixed("agreement", None, usd="2")])).cost == 2


def test_nobody_has_anything_to_say() -> None:
    assert examine(Panel([Fixed("schema", None)])) == Finding()


@pytest.mark.parametrize(
    ("score", "asked"), [(0.99, 0), (0.93, 1), (0.85, 1), (0.7, 1), (0.6, 0), (0.02, 0)]
)
def test_the_judge_is_asked_only_in_the_ambiguous_band(score: float, asked: int) -> None:
    judge = Fixed("judge", 0.5)
    found = examine(Panel([Fixed("logprobs", score), judge], Averages()), bar=0.85)
    assert judge.asked == asked
    assert found.score == pytest.approx((score + 0.5) / 2 if asked else score)


def test_scores_that_are_no_probabilities_are_never_clear() -> None:
    for tier, calibration in (("small", None), ("unknown", Averages())):
        judge = Fixed("judge", 0.5)
        assert examine(Panel([Fixed("logprobs", 0.999), judge], calibration), tier).score == 0.5
        assert judge.asked == 1


def test_where_nothing_can_follow_nobody_is_paid() -> None:
    judge = Fixed("judge", 0.5, usd="1")
    found = examine(Panel([Fixed("logprobs", 0.8), judge]), costly=False)
    assert (found.score, found.cost, judge.asked) == (0.8, 0, 0)


def test_what_was_expected_before_counts_with_a_calibration() -> None:
    found = examine(Panel([Fixed("logprobs", 0.8)], Averages()), prior=0.4)
    assert found.score == pytest.approx(0.6)
    assert found.scores["acceptance"] == found.score
    assert examine(Panel([], Averages()), prior=0.4).score == 0.4


def prefix(panel: Panel, text: str) -> Finding:
    return asyncio.run(panel.examine_prefix(CALL, Answer(text=text), "small", prior=0.1))


def test_a_beginning_is_judged_by_what_costs_nothing() -> None:
    judge = Fixed("judge", 0.0)
    panel = Panel([Fixed("schema", 0.0, fault=True), RefusalVerifier(), judge], Averages())
    assert prefix(panel, "I'm sorry, but I can't help with").score == 0.0
    # Valid or not is not known of half an answer; the prior alone throws nothing away.
    assert prefix(panel, '{"a": ') == Finding()
    assert judge.asked == 0
    sure = Panel([Fixed("logprobs", 0.5), judge], Averages())
    assert prefix(sure, "Well").score == pytest.approx(0.3)
    assert prefix(Panel([judge]), "I'm sorry, but I can't help with") == Finding()
