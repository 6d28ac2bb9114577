"""How alike two answers are."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Answer
from pilotage.route.verifiers.likeness import likeness, result_of


@pytest.mark.parametrize(
    ("prompt", "text", "result"),
    [
        ("How many?", "3 + 4 = 7, so there are 7 apples.", Decimal(7)),
        ("How much is it?", "It costs $1,250.50.", Decimal("1250.5")),
        ("Solve it.", "First 3, then 4.\n#### 12", Decimal(12)),
        ("Solve it.", r"Thus \boxed{-3}", Decimal(-3)),
        ("Which?", "The answer is **B**, not A.", "B"),
        ("Which?", "answer: c", "C"),
        ("Which?", " (b)", "B"),
        ("Which?", "B.", "B"),
        ("Which?", "42", Decimal(42)),
        ("Tell me of 1812.", "In 1812 Napoleon went to Moscow.", None),
        ("How many?", "Nobody knows.", None),
        ("小明有多少个苹果", "答案是 5", Decimal(5)),
        ("Which?", "The answer is Berlin.", None),
    ],
)
def test_results(prompt: str, text: str, result: object) -> None:
    assert result_of(prompt, text) == result


@pytest.mark.parametrize(
    ("one", "other", "score", "compared"),
    [
        ("So it is 18 in all.", "Adding up: 18.0", 1.0, "results"),
        ("So it is 18 in all.", "Adding up: 19", 0.0, "results"),
        ("Many.", "Adding up: 19", 0.0, "words"),
    ],
)
def test_numbers(one: str, other: str, score: float, compared: str) -> None:
    found = likeness("How many are there?", Answer(text=one), Answer(text=other))
    assert found == (score, compared)


def test_words_and_scripts() -> None:
    def of(one: str, other: str) -> float:
        return likeness("Tell me.", Answer(text=one), Answer(text=other))[0]

    assert of("The cat sat on the mat", "the CAT sat, on the mat!") == 1.0
    assert of("The cat sat on the mat", "the cat lay on the rug") == pytest.approx(4 / 6)
    assert of("猫在垫子上", "猫在地毯上") == pytest.approx(6 / 10)
    assert of("", "") == 1.0
    assert of("yes", "") == 0.0


def test_tool_calls_are_compared_by_what_they_call() -> None:
    def calling(arguments: str) -> Answer:
        return Answer(tool_calls=({"id": "x", "function": {"name": "f", "arguments": arguments}},))

    assert likeness("?", calling('{"a": 1, "b": 2}'), calling('{"b":2,"a":1}'))[0] == 1.0
    assert likeness("?", calling('{"a": 1}'), calling('{"a": 2}'))[0] == 0.0
    assert likeness("?", calling("{"), Answer(text="It is 1"))[0] == 0.0


@given(st.text(), st.text(), st.text())
def test_it_is_a_share_and_has_no_sides(prompt: str, one: str, other: str) -> None:
    score, _ = likeness(prompt, Answer(text=one), Answer(text=other))
    assert 0 <= score <= 1
    assert likeness(prompt, Answer(text=other), Answer(text=one))[0] == score
    assert likeness(prompt, Answer(text=one), Answer(text=one))[0] == 1
