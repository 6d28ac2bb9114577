import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Answer
from pilotage.route.handler.moderation import (
    CATEGORIES,
    VERDICTS,
    Judgement,
    judgement,
    new_mark,
    request_body,
)

MARK = "0badcafe"
GOOD = {"mark": MARK, "category": "none", "score": 0.02, "verdict": "SAFE"}


def said(text: str, finish_reason: str | None = "stop") -> Judgement:
    return judgement(Answer(text=text, finish_reason=finish_reason), MARK, "BLOCK")


@pytest.mark.parametrize(
    ("verdict", "category", "score"),
    [("SAFE", "none", 0), ("SAFE", "none", 0.49), ("WARN", "hate", 0.5), ("BLOCK", "other", 1)],
)
def test_a_judgement_in_the_form_asked_for(verdict: str, category: str, score: float) -> None:
    text = json.dumps({"mark": MARK, "category": category, "score": score, "verdict": verdict})
    assert said(f" {text}\n") == Judgement(verdict=verdict, category=category, score=score)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SAFE", "not JSON"),
        ("", "not JSON"),
        (f"```json\n{json.dumps(GOOD)}\n```", "not JSON"),
        (f"Here you are: {json.dumps(GOOD)}", "not JSON"),
        (json.dumps(GOOD) * 2, "not JSON"),
        # Which of two verdicts counts is not for a parser to choose.
        (json.dumps({**GOOD, "verdict": "BLOCK"})[:-1] + ', "verdict": "SAFE"}', "not JSON"),
        (json.dumps({**GOOD, "score": float("nan")}), "not JSON"),
        (json.dumps([GOOD]), "not a judgement"),
        (json.dumps({**GOOD, "note": "x"}), "not a judgement"),
        (json.dumps({"verdict": "SAFE"}), "not a judgement"),
        (json.dumps({**GOOD, "mark": "00000000"}), "not about this text"),
        (json.dumps({**GOOD, "mark": None}), "not about this text"),
        (json.dumps({**GOOD, "verdict": "safe"}), "no such verdict"),
        (json.dumps({**GOOD, "verdict": ["SAFE"]}), "no such verdict"),
        (json.dumps({**GOOD, "category": "fine"}), "no such verdict or category"),
        (json.dumps({**GOOD, "score": True}), "score"),
        (json.dumps({**GOOD, "score": "0"}), "score"),
        (json.dumps({**GOOD, "score": -0.1}), "score"),
        (json.dumps({**GOOD, "score": 1.1}), "score"),
        (json.dumps({**GOOD, "score": 10**400}), "score"),
        (json.dumps({**GOOD, "score": 0.9}), "contradicts"),
        (json.dumps({**GOOD, "category": "hate"}), "contradicts"),
        (json.dumps({**GOOD, "verdict": "WARN"}), "contradicts"),
        (json.dumps({**GOOD, "verdict": "BLOCK", "category": "hate"}), "contradicts"),
    ],
)
def test_anything_else_fails_closed_and_says_so(text: str, reason: str) -> None:
    found = said(text)
    assert found.verdict == "BLOCK"
    assert found.failure is not None
    assert reason in found.failure
    assert found.as_dict()["failed_closed"] is True
    assert found.category is None
    assert found.score is None


@pytest.mark.parametrize("finish_reason", ["length", "content_filter", "tool_calls", None])
def test_an_answer_that_was_broken_off_is_none(finish_reason: str | None) -> None:
    assert said(json.dumps(GOOD), finish_reason).verdict == "BLOCK"


def test_the_verdict_on_failure_is_the_configured_one() -> None:
    assert judgement(Answer(text="?", finish_reason="stop"), MARK, "WARN").verdict == "WARN"


ANSWERS = st.fixed_dictionaries(
    {
        "mark": st.sampled_from([MARK, "x"]),
        "category": st.sampled_from([*CATEGORIES, "x"]) | st.none(),
        "score": st.floats() | st.integers() | st.text(max_size=3),
        "verdict": st.sampled_from([*VERDICTS, "safe"]) | st.lists(st.just("SAFE"), max_size=1),
    }
)


@given(ANSWERS.map(json.dumps) | st.text() | st.just(json.dumps(GOOD)))
def test_safe_is_said_only_by_a_whole_and_consistent_judgement(text: str) -> None:
    found = said(text)
    assert found.verdict in VERDICTS
    if found.verdict == "SAFE":
        value: dict[str, Any] = json.loads(text)
        assert value["verdict"] == "SAFE"
        assert value["mark"] == MARK
        assert value["category"] == "none"
        assert 0 <= value["score"] < 0.5


@given(st.text())
def test_the_text_reaches_the_model_as_one_json_value_of_its_own_message(text: str) -> None:
    mark = new_mark()
    instructions, case = request_body(text, mark)["messages"]
    assert json.loads(case["content"]) == {"mark": mark, "text": text}
    assert "\n" not in case["content"]
    assert (instructions["role"], case["role"]) == ("system", "user")
    # The instructions are the same for every text: providers may cache them.
    assert instructions == request_body("another", new_mark())["messages"][0]


def test_the_house_rules_are_part_of_the_instructions() -> None:
    system = request_body("x", MARK, rules="No advertising.")["messages"][0]["content"]
    assert system.endswith("Rules of this platform:\nNo advertising.")


def test_a_schema_is_asked_for_unless_the_backend_takes_none() -> None:
    wanted = request_body("x", MARK)["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert wanted["schema"]["additionalProperties"] is False
    assert "response_format" not in request_body("x", MARK, answer_format="none")


def test_marks_are_not_guessable() -> None:
    assert len({new_mark() for _ in range(100)}) == 100
