"""What an answer's text gives away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.estimators.answer_marks import answer_marks

_RIGHT, _WRONG = 3, 4


@given(st.text(max_size=200), st.text(alphabet="0123456789+-*/=., $x#\nab", max_size=200))
def test_any_answer_has_finite_marks(prompt: str, answer: str) -> None:
    found = answer_marks(prompt, answer)
    assert len(found) == len(answer_marks("", ""))
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("48/2=24 and 48 + 24 = 72", 2, 0),
        ("She pays 9 * $2 = $18.", 1, 0),
        ("3 x 4 = 13", 0, 1),
        ("5 / 0 = 1", 0, 1),
        ("1,000 - 250 = 750", 1, 0),
        ("10 / 3 = 3.33", 1, 0),
        ("1 + 2 + 3 = 6", 0, 0),  # its last two numbers are no sum of their own
        ("50% * 80 = 40", 1, 0),
        ("no sums at all", 0, 0),
    ],
)
def test_sums_are_done_again(text: str, right: int, wrong: int) -> None:
    found = answer_marks("", text)
    assert np.expm1(found[_RIGHT]) == pytest.approx(right, abs=1e-5)
    assert np.expm1(found[_WRONG]) == pytest.approx(wrong, abs=1e-5)


def test_a_long_answer_is_read_at_its_end() -> None:
    long = "blah " * 100_000 + "so it is 42."
    assert np.isfinite(answer_marks("What is 42?", long)).all()
    assert answer_marks("", long).tolist() == answer_marks("", long[-6000:]).tolist()
