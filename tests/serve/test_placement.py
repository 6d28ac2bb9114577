"""Cores are split evenly, wholly, and never shared."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.serve.placement import available_cores, pin, slice_cpu


@given(st.lists(st.integers(0, 255), min_size=1, max_size=64, unique=True), st.data())
def test_slices_partition_the_cores(cores: list[int], data: st.DataObject) -> None:
    ordered = tuple(sorted(cores))
    workers = data.draw(st.integers(1, len(ordered)))
    slices = slice_cpu(workers, ordered)
    assert [piece.worker for piece in slices] == list(range(workers))
    assert tuple(core for piece in slices for core in piece.cores) == ordered
    sizes = [piece.threads for piece in slices]
    assert max(sizes) - min(sizes) <= 1


def test_more_workers_than_cores_are_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match="3 workers for 2 CPU cores") as caught:
        slice_cpu(3, (0, 1))
    assert caught.value.where == "--workers"


def test_this_machine_has_cores_and_a_process_can_be_bound_to_one() -> None:
    before = os.sched_getaffinity(0)
    cores = available_cores()
    assert set(cores) == before
    try:
        pin(cores[:1])
        assert os.sched_getaffinity(0) == {cores[0]}
    finally:
        pin(cores)
