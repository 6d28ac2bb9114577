from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.encoders.batching import next_batch


def test_like_lengths_go_together():
    assert next_batch([200, 10, 205, 190, 12, 400], 1024) == [3, 0, 2]


def test_the_oldest_goes_even_alone_and_too_long():
    assert next_batch([900, 10, 10], 512) == [0]


def test_small_batches_take_padding():
    assert next_batch([3, 20, 9], 1024) == [0, 2, 1]


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60), st.integers(16, 2048))
def test_batches_hold_their_bounds_and_nobody_starves(widths, budget):
    waiting = list(enumerate(widths))
    steps = 0
    served = []
    while waiting:
        lengths = [width for _, width in waiting]
        batch = next_batch(lengths, budget)
        assert 0 in batch
        assert len(set(batch)) == len(batch)
        chosen = [lengths[place] for place in batch]
        size = max(chosen) * len(chosen)
        assert size <= budget or len(batch) == 1
        assert size <= 64 or size - sum(chosen) <= size / 8
        served += [waiting[place][0] for place in batch]
        waiting = [one for place, one in enumerate(waiting) if place not in batch]
        steps += 1
    assert sorted(served) == list(range(len(widths)))
    assert steps <= len(widths)
