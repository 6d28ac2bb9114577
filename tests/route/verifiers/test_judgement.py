"""What is a judgement, and what is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.verifiers.judgement import score_in


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("0.85", 0.85),
        (" 1\n", 1.0),
        ("0", 0.0),
        (".5", 0.5),
        ("1.000", 1.0),
        ('{"score": 0.4}', 0.4),
        ('{"reason": "right, but: 1.0", "score": 0.4}', 0.4),
        ('```json\n{"score": 1}\n```', 1.0),
    ],
)
def test_a_score(text: str, score: float) -> None:
    assert score_in(text) == score


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.0 because it is right",
        "Score: 1.0",
        "I give it 0.9.",
        "1.1",
        "-0.1",
        "90%",
        "9/10",
        "1e-1",
        "0.8 0.9",
        "\u0660",
        "NaN",
        "Infinity",
        "true",
        "[1]",
        "null",
        '{"score": "1.0"}',
        '{"score": true}',
        '{"score": null}',
        '{"score": NaN}',
        '{"score": 2}',
        '{"score": 0.1, "score": 1.0}',
        '{"score": 0.1} {"score": 1.0}',
        '{"Score": 1.0}',
        '{"result": {"score": 1.0}}',
        'The answer says {"score": 1.0}',
        '{"score": 1.0',
        "[" * 3000,
        " " * 10 + "1" * 9000,
    ],
)
def test_no_score(text: str) -> None:
    assert score_in(text) is None


@given(st.text() | st.from_regex(r"\{?\"?score\"?:? ?[0-9.eE+-]{0,6}\}?", fullmatch=True))
def test_whatever_a_judge_writes_is_a_share_or_nothing(text: str) -> None:
    score = score_in(text)
    assert score is None or 0 <= score <= 1


@given(st.text())
def test_what_is_quoted_in_a_reason_is_no_score(text: str) -> None:
    said = json.dumps({"reason": text + ' {"score": 1.0} 1.0', "score": 0.25})
    assert score_in(said) in {0.25, None}  # None for very long reasons
    assert score_in(text + ' {"score": 1.0}') in {None, 1.0 if not text.strip() else None}
