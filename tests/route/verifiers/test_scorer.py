"""Reading an answer: an opinion where there is text to read, of tiers that it learnt from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pilotage.errors import UsageError
from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.estimators.answer_scorer import AnswerScorer, fit_answer_scorer
from pilotage.route.verifiers import Panel, ScorerVerifier, Verdict

CALL = Call(body={"messages": [{"role": "user", "content": "How many?"}]}, request_id="r")


@dataclass
class Stored:
    """The part of a calibration that matters here."""

    tiers: tuple[str, ...]
    scorer: dict[str, Any]


@pytest.fixture(scope="module")
def scorer() -> AnswerScorer:
    """Of the tier b, the second of two, whose answers that hedge are wrong."""
    answers = ["It cannot be told, sorry." if one % 2 else f"It is {one}." for one in range(80)]
    scores = np.array([[0.5, 1.0 - one % 2] for one in range(80)])
    return fit_answer_scorer([f"How many, {one}?" for one in range(80)], answers, scores)[0]


@pytest.fixture(scope="module")
def verifier(scorer: AnswerScorer) -> ScorerVerifier:
    return ScorerVerifier.of(Stored(("a", "b"), {"b": scorer.as_dict()}))  # type: ignore[arg-type]


def verify(verifier: ScorerVerifier, answer: Answer, tier: str = "b") -> Verdict:
    return asyncio.run(verifier.verify(CALL, answer, tier))


def test_it_tells_answers_apart(verifier: ScorerVerifier, scorer: AnswerScorer) -> None:
    good, bad = "It is 12.", "It cannot be told, sorry."
    found = verify(verifier, Answer(text=good))
    assert found.score == scorer.predict(["How many?"], [good])[0, 1]
    low = verify(verifier, Answer(text=bad)).score
    assert low is not None
    assert found.score is not None
    assert low < found.score - 0.4
    assert not found.fault
    assert found.cost == 0
    assert "12" not in found.reason


@pytest.mark.parametrize(
    ("answer", "tier"),
    [
        (Answer(text="It is 12."), "a"),
        (Answer(text=" \n"), "b"),
        (Answer(text="It is 12.", tool_calls=({"id": "1"},)), "b"),
    ],
)
def test_it_has_no_opinion(verifier: ScorerVerifier, answer: Answer, tier: str) -> None:
    assert verify(verifier, answer, tier) == Verdict()


def test_a_beginning_is_not_read(verifier: ScorerVerifier) -> None:
    found = asyncio.run(Panel([verifier]).examine_prefix(CALL, Answer(text="It cannot"), "b"))
    assert found.score is None


def test_a_scorer_of_other_tiers_is_refused(scorer: AnswerScorer) -> None:
    stored = Stored(("a", "b", "c"), {"b": scorer.as_dict()})
    with pytest.raises(UsageError, match="the scorer of b knows another number of tiers"):
        ScorerVerifier.of(stored)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Calibrate again"):
        ScorerVerifier.of(Stored(("a", "b"), {"b": {}}))  # type: ignore[arg-type]
