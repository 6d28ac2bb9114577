from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transfer_origins import manifest_of

from pilotage.fetch.transfer.journal import Journal
from pilotage.fetch.transfer.plan import Extent

MANIFEST = manifest_of({"a": bytes(100), "b": bytes(50)})
OTHERS = [
    manifest_of({"a": bytes(100), "b": bytes(50)}, commit="rev2"),
    manifest_of({"a": bytes(99), "b": bytes(50)}),
    manifest_of({"a": b"x" * 100, "b": bytes(50)}),
    manifest_of({"a": bytes(100)}),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def written(path, *records):
    path.unlink(missing_ok=True)
    journal = Journal(path, MANIFEST)
    for index, start, stop in records:
        journal.add(index, Extent(start, stop, start * 7))
    journal.close()
    return path.read_bytes()


def read(path, manifest=MANIFEST):
    journal = Journal(path, manifest)
    journal.close()
    return [
        [(extent.start, extent.stop) for extent in journal.extents(index)]
        for index in range(len(manifest.files))
    ]


def test_what_was_added_is_read_back_in_order(path):
    written(path, (0, 50, 60), (1, 0, 50), (0, 0, 10))
    assert read(path) == [[(0, 10), (50, 60)], [(0, 50)]]


def test_a_later_record_of_the_same_part_takes_the_place(path):
    written(path, (0, 0, 10), (0, 0, 30), (0, 0, 20))
    assert read(path) == [[(0, 20)], []]


@pytest.mark.parametrize("other", OTHERS)
def test_another_manifests_journal_is_not_read(path, other):
    written(path, (0, 0, 10))
    assert read(path, other) == [[] for _ in other.files]
    assert read(path, MANIFEST) == [[], []], "it began anew"


def test_records_outside_their_file_and_overlapping_ones_are_passed_over(path):
    written(path, (0, 0, 101), (1, 40, 51), (0, 5, 5), (0, -1, 5), (0, 0, 10), (0, 9, 12))
    assert read(path) == [[(0, 10)], []]


def test_replacing_survives_and_keeps_the_file_short(path):
    journal = Journal(path, MANIFEST)
    for stop in range(1, 100):
        journal.add(0, Extent(0, stop, 0))
    journal.replace(0, [Extent(20, 30, 1)])
    journal.add(1, Extent(0, 1, 0))
    journal.close()
    assert read(path) == [[(20, 30)], [(0, 1)]]
    assert len(path.read_bytes().splitlines()) == 3


def test_a_closed_journal_writes_nothing_more(path):
    journal = Journal(path, MANIFEST)
    journal.close()
    journal.add(0, Extent(0, 10, 0))
    journal.replace(0, [Extent(0, 10, 0)])
    assert read(path) == [[], []]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 400))
def test_a_torn_end_costs_no_whole_line(path, keep):
    whole = written(path, (0, 0, 10), (0, 20, 30), (1, 0, 5), (0, 60, 70))
    path.write_bytes(whole[:keep])
    lines = whole[:keep].count(b"\n")
    found = sum(len(extents) for extents in read(path))
    assert found == max(0, lines - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_garbage_is_never_taken_for_a_record(path, garbage, own_header):
    header = written(path, (1, 0, 5))
    path.write_bytes(header + garbage if own_header else garbage)
    assert read(path) in ([[], [(0, 5)]], [[], []])


def test_one_flipped_byte_loses_that_line_alone(path):
    whole = written(path, (0, 0, 10), (0, 20, 30))
    header = whole.index(b"\n") + 1
    path.write_bytes(whole[: header + 12] + b"\xff" + whole[header + 13 :])
    assert read(path) == [[(20, 30)], []]


def test_a_link_in_the_journals_place_is_not_followed(path, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    path.symlink_to(outside)
    with pytest.raises(OSError, match=r"symbolic link|loop"):
        Journal(path, MANIFEST)
    assert outside.read_bytes() == b"precious"
