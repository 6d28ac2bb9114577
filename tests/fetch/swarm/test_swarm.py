"""Whole swarms: real libtorrent sessions in real processes on loopback."""

from __future__ import annotations

import time

from pilotage.fetch.swarm import TrackerServer


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


def test_a_swarm_that_stalls_falls_back_to_the_origin(origin, tracker, start_node):
    # The first node has everything and lets nobody have it: one byte a second.
    assert start_node(tracker=tracker.url, upload="1B").result()["error"] is None
    late = start_node(tracker=tracker.url, stall="500ms", alone="2s")
    result = late.result()
    assert result["error"] is None
    assert late.files() == origin.files
    assert any("asks to pull" in said for said in result["said"])


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
