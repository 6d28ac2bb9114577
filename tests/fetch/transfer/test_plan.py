from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.fetch.transfer.options import MIB, TransferFolder, TransferOptions
from pilotage.fetch.transfer.plan import LARGEST, MOST_PARTS, Extent, gaps, part_size, parts, step


@given(st.integers(0, 1 << 45) | st.integers(0, 1 << 32), st.integers(1, 64))
def test_parts_are_neither_too_many_nor_too_small(size, threads):
    part = part_size(size, threads)
    count = -(-size // part)
    assert count <= MOST_PARTS
    assert part % MIB == 0
    assert part >= 8 * MIB
    if size <= LARGEST * MOST_PARTS:
        assert part <= LARGEST
    if size >= 8 * MIB * threads:
        assert count >= threads, "every thread has something to do"


@given(st.integers(1, 1 << 30), st.integers(1, 64), st.integers(1, 1 << 22))
def test_all_threads_together_lose_less_than_a_part(part, threads, buffer):
    size = step(part, threads, buffer)
    assert 1 <= size <= max(1, buffer)
    assert size == 1 or size * threads <= part


@given(
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 20)), max_size=5),
    st.integers(1, 25),
)
def test_parts_and_extents_together_are_the_file_exactly_once(size, wanted, part):
    extents, at = [], 0
    for start, length in sorted(wanted):
        if start >= at and start + length <= size:
            extents.append(Extent(start, start + length, 0))
            at = start + length
    cut = parts(extents, size, part)
    covered = sorted([(e.start, e.stop) for e in extents] + cut)
    assert [byte for start, stop in covered for byte in range(start, stop)] == list(range(size))
    assert all(0 < stop - start <= part for start, stop in cut)
    assert sum(stop - start for start, stop in gaps(extents, size)) == sum(b - a for a, b in cut)


def test_threads_fit_the_memory():
    options = TransferOptions(threads=8, buffer_bytes=MIB, memory_bytes=2 * MIB)
    assert options.workers == 1
    assert TransferOptions(threads=2).workers == 2


@pytest.mark.parametrize(
    "bounds",
    [{"threads": 0}, {"buffer_bytes": 0}, {"part_bytes": -1}, {"rounds": -1}, {"stall_s": 0.0}],
)
def test_bounds_must_be_positive(bounds):
    with pytest.raises(ValueError, match="positive bounds"):
        TransferOptions(**bounds)


def test_a_path_has_its_journal_beside_it(tmp_path):
    folder = TransferFolder.of(tmp_path / "files")
    assert folder == TransferFolder(tmp_path / "files", tmp_path / "files.journal")
    assert TransferFolder.of(folder) is folder
