"""Nodes that meet in a folder."""

from __future__ import annotations

import time

import pytest

from pilotage.errors import StoreError
from pilotage.fetch.swarm import folder as folder_module
from pilotage.fetch.swarm.folder import FolderRendezvous
from pilotage.fetch.swarm.messages import Report
from pilotage.fetch.swarm.metainfo import ChunkRecord

SWARM = "cd" * 32


def _report(node: int, sequence: int, **fields) -> Report:
    return Report(
        swarm=SWARM,
        node=f"{node:08x}",
        chunks=2,
        sequence=sequence,
        port=1000 + node,
        host="10.0.0.1",
        **fields,
    )


def test_one_pulls_and_announces_then_the_other(tmp_path):
    one, two = FolderRendezvous(tmp_path), FolderRendezvous(tmp_path)
    assert one.sync(_report(1, 1, wants=True)).grant == 0
    view = two.sync(_report(2, 1, wants=True))
    assert view.grant is None
    assert view.peers == [("10.0.0.1", 1001)]
    pulled = ChunkRecord(0, bytes(20))
    assert one.sync(_report(1, 2, wants=True, have=[0], announce=[pulled])).grant is None
    view = two.sync(_report(2, 2, wants=True))
    assert view.chunks == [pulled]
    assert view.grant == 1


def test_a_dead_nodes_lease_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "NODE_S", 0.3)
    dead, alive = FolderRendezvous(tmp_path), FolderRendezvous(tmp_path)
    assert dead.sync(_report(1, 1, wants=True)).grant == 0
    sequence, grant = 0, None
    end = time.monotonic() + 20
    while grant is None and time.monotonic() < end:
        sequence += 1
        grant = alive.sync(_report(2, sequence, wants=True)).grant
        time.sleep(0.02)
    assert grant == 0


def test_who_leaves_is_not_a_peer_and_holds_nothing(tmp_path):
    one, two = FolderRendezvous(tmp_path), FolderRendezvous(tmp_path)
    assert one.sync(_report(1, 1, wants=True)).grant == 0
    one.sync(_report(1, 2, leaving=True))
    view = two.sync(_report(2, 1, wants=True))
    assert view.peers == []
    assert view.grant == 0


def test_junk_in_the_folder_is_passed_over(tmp_path):
    one = FolderRendezvous(tmp_path)
    one.sync(_report(1, 1))
    base = tmp_path / SWARM
    (base / "nodes" / "deadbeef.json").write_bytes(b"{")
    (base / "nodes" / "0badcafe.json").write_bytes(b'{"beat":1,"report":{}}')
    (base / "chunks" / "00001.json").write_bytes(b"no json")
    (base / "chunks" / "x.json").write_bytes(b"")
    (base / "leases" / "0").write_bytes(b"")
    view = one.sync(_report(1, 2))
    assert view.peers == []
    assert view.chunks == []


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        FolderRendezvous(tmp_path / "none")
