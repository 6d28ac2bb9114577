from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm.layout import CHUNKS_WANTED, MAX_PIECE, Layout

SIZES = st.lists(st.integers(0, 200 << 20), min_size=1, max_size=12)


def _manifest(sizes: list[int], identifier: str = "1") -> Manifest:
    files = tuple(FileEntry(f"f{n}", size) for n, size in enumerate(sizes))
    return Manifest("hf://o/m@1", identifier, files)


@given(SIZES.filter(any))
def test_every_byte_lies_in_one_chunk(sizes):
    layout = Layout.of(_manifest(sizes))
    assert 1 <= layout.chunks <= CHUNKS_WANTED
    covered: dict[int, int] = {}
    position = 0
    for chunk in range(layout.chunks):
        start, stop = layout.span(chunk)
        assert start == position < stop
        position = stop
        for segment in layout.segments(start, stop):
            assert covered.get(segment.file, 0) == segment.start
            covered[segment.file] = segment.stop
            assert chunk in layout.chunks_of(segment.file)
    assert position == layout.total == sum(sizes)
    assert covered == {n: file.size for n, file in enumerate(layout.files)}


@given(SIZES.filter(any))
def test_the_order_of_the_files_does_not_matter(sizes):
    manifest = _manifest(sizes)
    turned = Manifest(manifest.source, manifest.id, manifest.files[::-1])
    assert Layout.of(manifest) == Layout.of(turned)


def test_other_bytes_are_another_swarm():
    one = Manifest("s", "1", (FileEntry("a", 5, hashlib.sha256(b"1").hexdigest()),))
    two = Manifest("s", "1", (FileEntry("a", 5, hashlib.sha256(b"2").hexdigest()),))
    assert Layout.of(one).swarm != Layout.of(two).swarm
    assert Layout.of(_manifest([5], "1")).swarm != Layout.of(_manifest([5], "2")).swarm


def test_a_large_model_has_large_pieces_and_not_too_many():
    layout = Layout.of(_manifest([140 << 30]))
    assert layout.piece == MAX_PIECE
    assert layout.pieces == 8960
    assert layout.chunks == CHUNKS_WANTED


def test_what_cannot_be_shared_is_refused():
    for sizes, why in (([0, 0], "no model"), ([1 << 45], "more than a swarm")):
        with pytest.raises(SourceError, match=why):
            Layout.of(_manifest(sizes))
    with pytest.raises(SourceError, match="no known size"):
        Layout.of(Manifest("s", "1", (FileEntry("a"),)))
