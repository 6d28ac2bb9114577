"""Whole swarms: real libtorrent sessions in real processes on loopback."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.swarm import Shared, SwarmOptions, TrackerServer
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.metainfo import record_of
from pilotage.fetch.swarm.seed import leave_seed


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_nodes_share_one_copy_of_the_origin(origin, tracker, start_node):
    origin.rate = 8 << 20
    nodes = [start_node(tracker=tracker.url) for _ in range(4)]
    results = [node.result() for node in nodes]
    assert [result["error"] for result in results] == [None] * 4
    for node in nodes:
        assert node.files() == origin.files
    assert all(result["done"] == origin.size for result in results)
    assert origin.sent <= 1.5 * origin.size
    assert [result["said"] for result in results] == [[]] * 4
    # The lease goes round.
    assert len(origin.readers) > 1


def test_a_late_node_needs_nothing_of_the_origin(origin, tracker, start_node):
    assert start_node(tracker=tracker.url).result()["error"] is None
    sent = origin.sent
    late = start_node(tracker=tracker.url)
    assert late.result()["error"] is None
    assert late.files() == origin.files
    assert origin.sent == sent


def test_a_shared_folder_is_enough(origin, start_node, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    nodes = [start_node(folder=str(folder), advertise="127.0.0.1") for _ in range(3)]
    assert [node.result()["error"] for node in nodes] == [None] * 3
    for node in nodes:
        assert node.files() == origin.files
    assert origin.sent <= 1.5 * origin.size


def test_a_list_of_peers_is_enough(origin, start_node):
    with_port = TrackerServer("127.0.0.1", 0)  # finds a free port, and gives it back
    port = with_port.port
    with_port.stop()
    nodes = [start_node(peers=f"127.0.0.1:{port}") for _ in range(3)]
    assert [node.result()["error"] for node in nodes] == [None] * 3
    for node in nodes:
        assert node.files() == origin.files
    assert origin.sent <= 1.5 * origin.size


@pytest.mark.slow
def test_another_pulls_when_the_puller_is_killed(origin, tracker, start_node):
    origin.rate = 1 << 20
    doomed = start_node(tracker=tracker.url)
    _wait(lambda: doomed.arrived() > 1 << 20)
    others = [start_node(tracker=tracker.url) for _ in range(2)]
    doomed.kill()
    origin.rate = 0
    assert [node.result()["error"] for node in others] == [None] * 2
    for node in others:
        assert node.files() == origin.files
    assert origin.sent <= 1.5 * origin.size + (4 << 20)


def test_without_a_tracker_the_origin_is_asked_aloud(origin, start_node):
    node = start_node(tracker="http://127.0.0.1:9", stall="200ms", alone="500ms")
    result = node.result()
    assert result["error"] is None
    assert node.files() == origin.files
    assert any("beyond the swarm's quota" in said for said in result["said"])


@pytest.mark.slow
def test_a_swarm_that_stalls_falls_back_to_the_origin(origin, tracker, start_node):
    # The first node has everything and lets nobody have it: one byte a second.
    assert start_node(tracker=tracker.url, upload="1B").result()["error"] is None
    late = start_node(tracker=tracker.url, stall="500ms", alone="2s")
    result = late.result()
    assert result["error"] is None
    assert late.files() == origin.files
    assert any("asks to pull" in said for said in result["said"])


@pytest.mark.slow
def test_a_tracker_that_is_restarted_learns_everything_again(origin, start_node):
    first = TrackerServer("127.0.0.1", 0, token="t").start()
    node = start_node(tracker=first.url, token="t")
    assert node.result()["error"] is None
    first.stop()
    sent = origin.sent
    second = TrackerServer("127.0.0.1", first.port, token="t").start()
    try:
        time.sleep(3)  # the first node has reported again: it does so every second or two
        late = start_node(tracker=second.url, token="t")
        assert late.result()["error"] is None
        assert late.files() == origin.files
        assert origin.sent == sent
    finally:
        second.stop()


def test_a_wrong_token_is_a_clear_error(tracker, start_node):
    result = start_node(tracker=tracker.url, token="wrong").result()
    assert "refuses this node's token" in result["error"]


def test_an_origin_that_refuses_everybody_is_a_clear_error(origin, tracker, start_node):
    origin.failing = True
    result = start_node(tracker=tracker.url, stall="300ms").result()
    assert "the origin answers 404" in result["error"]


def _spoil(node):
    for path in (node.folder / "files").rglob("*.bin"):
        with path.open("r+b") as file:  # the same inode: it is what the node gives to others
            file.write(b"garbage!" * (path.stat().st_size // 8))


@pytest.mark.slow
def test_garbage_from_a_peer_is_never_taken(origin, tracker, start_node):
    liar = start_node(tracker=tracker.url)
    assert liar.result()["error"] is None
    _spoil(liar)
    sent = origin.sent
    late = start_node(tracker=tracker.url, stall="1s", alone="2s")
    assert late.result()["error"] is None
    assert late.files() == origin.files
    assert origin.sent > sent  # there was nobody else to have it from


@pytest.mark.slow
def test_wrong_piece_hashes_are_found_by_the_files_digests(origin, evil, tracker, start_node):
    evil.rate = 1 << 20  # of each of four streams
    liar = start_node(tracker=tracker.url, of=evil)
    _wait(lambda: evil.sent > 7 << 20)  # it has announced its first chunk
    honest = start_node(tracker=tracker.url)
    result = honest.result()
    assert result["error"] is None
    assert honest.files() == origin.files
    assert any("not what was promised" in said for said in result["said"])
    assert "never verifies" in liar.result()["error"]


def test_a_child_goes_on_giving_from_the_models_place(origin, tracker, token, start_node, tmp_path):
    folder = tmp_path / "published"
    for name, data in origin.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    given = origin.manifest()
    manifest = Manifest(
        given["source"], given["id"], tuple(FileEntry(**file) for file in given["files"])
    )
    layout = Layout.of(manifest)
    row = b"".join(origin.files[file.path] for file in layout.files)
    records = [
        record_of(layout, chunk, lambda start, stop: row[start:stop])
        for chunk in range(layout.chunks)
    ]
    options = SwarmOptions(tracker=tracker.url, token=token, listen="127.0.0.1")
    pid = leave_seed([Shared(manifest, tuple(records))], folder, options)
    assert pid is not None
    try:
        origin.failing = True
        late = start_node(tracker=tracker.url)
        assert late.result()["error"] is None
        assert late.files() == origin.files
        assert origin.sent == 0
        folder.rename(tmp_path / "gone")  # it ends when the files are pruned
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)


def test_nothing_is_given_when_seeding_is_off(tmp_path):
    assert leave_seed([], tmp_path, SwarmOptions()) is None
