"""Hashed features: any text has them, and what is alike is alike."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.estimators.features import BUCKETS, MARKS, featurise


@given(st.text(max_size=400))
def test_any_text_has_finite_features(text: str) -> None:
    found = featurise(text)
    assert len(found.marks) == MARKS
    assert np.isfinite(found.marks).all()
    assert np.isfinite(found.counts).all() and (found.counts >= 1).all()
    assert (np.diff(found.buckets) > 0).all()
    assert not len(found.buckets) or 0 <= found.buckets[0] <= found.buckets[-1] < BUCKETS


def test_lone_surrogates_are_text_too() -> None:
    assert len(featurise("\ud800 what").buckets) > 0


def test_case_and_digits_make_no_difference_to_buckets() -> None:
    one, other = featurise("Add 12 and 34"), featurise("add 98 and 76")
    assert one.buckets.tolist() == other.buckets.tolist()
    assert featurise("add 12 or 34").buckets.tolist() != one.buckets.tolist()


def test_a_long_prompt_is_read_at_both_ends_only() -> None:
    start, end = "Count the following words. " * 100, " How many are there? " * 100
    one, other = (featurise(start + filling * 50_000 + end) for filling in ("x", "y"))
    assert one.buckets.tolist() == other.buckets.tolist()
    assert one.marks.tolist() == other.marks.tolist()


def test_choices_are_counted_wherever_lines_begin_with_letters() -> None:
    with_choices = featurise("Which?\nA. one\nB. two\nC. 3\nD. four").marks
    without = featurise("Which? A. one, B. two, C. 3, D. four").marks
    assert (with_choices != without).sum() >= 4
