"""Histograms of lengths: from percentiles, lists and files."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.compiled.lengths import Lengths
from pilotage.errors import UsageError


def percentile(lengths, share):
    total = sum(weight for _, weight in lengths.weights)
    seen = 0.0
    for length, weight in lengths.weights:
        seen += weight
        if seen >= share * total:
            return length
    raise AssertionError("beyond the last")


@given(st.integers(2, 200), st.floats(1, 8))
def test_a_log_normal_has_the_percentiles_it_was_made_from(p50, factor):
    p99 = round(p50 * factor)
    lengths = Lengths.log_normal(p50, p99, longest=5000)
    assert math.isclose(sum(weight for _, weight in lengths.weights), 1.0, abs_tol=1e-9)
    assert abs(percentile(lengths, 0.5) - p50) <= 1
    assert abs(percentile(lengths, 0.99) - p99) <= 1


def test_longer_ones_count_as_the_longest():
    clipped = Lengths.log_normal(100, 400, longest=128)
    assert clipped.weights[-1][0] == 128
    assert clipped.weights[-1][1] > 0.2
    assert Lengths.log_normal(300, 300, 64) == Lengths(((64, 1.0),))
    assert Lengths.of([5, 900, 70], 64) == Lengths(((5, 1.0), (64, 2.0)))


def test_the_mean():
    assert Lengths.of([10, 20, 60], 100).mean == 30


@pytest.mark.parametrize("lengths", [[], [0], [3, -1]])
def test_no_lengths(lengths):
    with pytest.raises(ValueError, match="from 1"):
        Lengths.of(lengths, 10)


def test_files(tmp_path):
    path = tmp_path / "lengths"
    path.write_text('12\n\n 40 \n{"prompt_tokens": 12, "completion_tokens": 1}\n{"length": 900}\n')
    assert Lengths.of_file(path, 512) == Lengths(((12, 2.0), (40, 1.0), (512, 1.0)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no lengths"),
        (b"12\ntwelve\n", r"lengths:2: is no length"),
        (b"0\n", r"lengths:1: is no length"),
        (b"1.5\n", r"lengths:1: is no length"),
        (b"true\n", r"lengths:1: is no length"),
        (b'{"text": 4}\n', r"lengths:1: is no length"),
        (b"[" * 100_000, r"lengths:1: is no length"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_files_that_hold_something_else(tmp_path, content, says):
    path = tmp_path / "lengths"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        Lengths.of_file(path, 512)


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Lengths.of_file(tmp_path / "none", 512)
