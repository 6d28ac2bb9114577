"""Choosing buckets: as good as trying all, and a bucket for every length."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.compiled.buckets import (
    attention_cost,
    bucket_of,
    choose_buckets,
    expected_cost,
    padding_share,
    powers_of_two,
)
from pilotage.engines.compiled.lengths import Lengths

few = st.lists(st.integers(1, 14), min_size=1, max_size=12)
costs = st.sampled_from([0.0, 0.01, 0.5])


@given(few, st.integers(1, 5), st.integers(0, 3), costs)
def test_no_other_choice_is_cheaper(lengths, most, beyond, attention):
    longest = max(lengths) + beyond
    histogram = Lengths.of(lengths, longest)
    chosen = choose_buckets(histogram, longest, most, attention=attention)
    every = (
        (*smaller, longest)
        for count in range(most)
        for smaller in combinations(range(1, longest), count)
    )
    least = min(expected_cost(histogram, buckets, attention) for buckets in every)
    assert expected_cost(histogram, chosen, attention) == pytest.approx(least)
    assert len(chosen) <= most


@given(
    st.lists(st.integers(1, 600), min_size=1, max_size=60),
    st.integers(1, 9),
    st.sampled_from([1, 8, 16]),
    st.sampled_from([0.0, 0.02]),
)
def test_every_length_has_a_bucket(lengths, most, multiple, worth):
    longest = 512
    histogram = Lengths.of(lengths, longest)
    chosen = choose_buckets(histogram, longest, most, multiple=multiple, worth=worth)
    assert list(chosen) == sorted(set(chosen))
    assert chosen[-1] == longest
    assert all(bucket % multiple == 0 for bucket in chosen)
    for length in range(1, longest + 1):
        bucket = bucket_of(length, chosen)
        assert length <= bucket
        assert not any(length <= other < bucket for other in chosen)


@given(few, st.integers(1, 4))
def test_more_buckets_never_cost_more(lengths, most):
    histogram = Lengths.of(lengths, 14)
    fewer = choose_buckets(histogram, 14, most)
    more = choose_buckets(histogram, 14, most + 1)
    assert expected_cost(histogram, more) <= expected_cost(histogram, fewer) + 1e-9


def test_what_padding_is():
    histogram = Lengths(((10, 3.0), (100, 1.0)))
    assert padding_share(histogram, (100,)) == pytest.approx(1 - 130 / 400)
    assert padding_share(histogram, (10, 100)) == 0
    assert padding_share(histogram, (20, 100)) == pytest.approx(1 - 130 / 160)


def test_a_bucket_that_saves_little_is_not_made():
    histogram = Lengths(((10, 1000.0), (99, 1.0), (100, 100.0)))
    assert choose_buckets(histogram, 100, 3) == (10, 99, 100)
    assert choose_buckets(histogram, 100, 3, worth=0.02) == (10, 100)


def test_a_dear_attention_asks_for_buckets_among_the_long():
    histogram = Lengths(tuple((length, 1.0) for length in range(1, 101)))
    cheap, dear = (choose_buckets(histogram, 100, 2, attention=cost)[0] for cost in (0.0, 1.0))
    assert cheap == 50
    assert dear > cheap


def test_the_cost_of_attention_is_that_of_its_products():
    assert 128 * attention_cost(384, 1536) == pytest.approx(128 / 2304)


def test_nothing_known_of_the_lengths():
    assert powers_of_two(512) == (16, 32, 64, 128, 256, 512)
    assert powers_of_two(100) == (16, 32, 64, 100)
    assert powers_of_two(8) == (8,)


def test_what_cannot_be():
    histogram = Lengths(((10, 1.0),))
    for longest, most, multiple in ((0, 1, 1), (10, 0, 1), (10, 1, 0), (9, 1, 1)):
        with pytest.raises(ValueError, match=r"at least 1|10 tokens"):
            choose_buckets(histogram, longest, most, multiple=multiple)
    with pytest.raises(ValueError, match="11 tokens; the longest bucket has 10"):
        bucket_of(11, (5, 10))
