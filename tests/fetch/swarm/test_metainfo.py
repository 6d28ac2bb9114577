from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.metainfo import (
    ChunkRecord,
    bencode,
    checked_record,
    record_of,
    torrent,
)

lt = pytest.importorskip("libtorrent", reason="libtorrent is not installed (the extra 'swarm')")

DATA = bytes(range(251)) * 40_000
LAYOUT = Layout.of(
    Manifest("s", "1", (FileEntry("a", 3_000_000), FileEntry("b/ü", len(DATA) - 3_000_000)))
)
VALUES = st.recursive(
    st.integers(-(2**63) + 1, 2**63 - 1) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=5), inner),
    max_leaves=20,
)


@given(VALUES)
def test_libtorrent_reads_what_is_encoded(value):
    assert lt.bdecode(bencode({b"value": value})) == {b"value": value}


def test_what_has_no_encoding_is_a_bug():
    with pytest.raises(TypeError, match="float"):
        bencode(1.5)


def test_a_chunks_torrent_is_what_libtorrent_expects():
    record = record_of(LAYOUT, 1, lambda start, stop: DATA[start:stop])
    info = lt.torrent_info(torrent(LAYOUT, record, b"secret"))
    assert info.priv()
    assert info.total_size() == len(DATA)
    pieces = LAYOUT.pieces_of(1)
    for piece in range(LAYOUT.pieces):
        start = piece * LAYOUT.piece
        digest = hashlib.sha1(DATA[start : start + LAYOUT.piece], usedforsecurity=False).digest()
        assert info.hash_for_piece(piece) == (digest if piece in pieces else bytes(20))


def test_only_the_token_gives_the_info_hash():
    record = record_of(LAYOUT, 0, lambda start, stop: DATA[start:stop])
    hashes = {
        str(lt.torrent_info(torrent(LAYOUT, record, secret)).info_hash())
        for secret in (b"", b"one", b"two")
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    "record",
    [
        ChunkRecord(-1, bytes(20 * 64)),
        ChunkRecord(99, bytes(20 * 64)),
        ChunkRecord(0, b""),
        ChunkRecord(0, bytes(21)),
        ChunkRecord(0, bytes(20 * 65)),
    ],
)
def test_a_record_that_does_not_fit_is_refused(record):
    with pytest.raises(SourceError, match="does not fit"):
        checked_record(LAYOUT, record)
