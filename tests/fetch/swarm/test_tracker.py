"""The tracker over real HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import msgspec
import pytest

from pilotage.errors import ResourceError, SourceError, UsageError
from pilotage.fetch.swarm import TrackerServer
from pilotage.fetch.swarm.messages import MAX_BODY, Report
from pilotage.fetch.swarm.metainfo import ChunkRecord
from pilotage.fetch.swarm.rendezvous import UnreachableError
from pilotage.fetch.swarm.tracker_client import TrackerRendezvous, tracker_urls


@pytest.fixture
def server() -> Iterator[TrackerServer]:
    started = TrackerServer("127.0.0.1", 0, token="secret").start()
    yield started
    started.stop()


def _report(node: int = 1, sequence: int = 1, **fields) -> Report:
    return Report(
        swarm="ab" * 32, node=f"{node:08x}", chunks=3, sequence=sequence, port=1000 + node, **fields
    )


def _post(server: TrackerServer, body: bytes, token: str = "secret") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", "/v1/sync", body, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_nodes_find_one_another(server):
    one = TrackerRendezvous([server.url], "secret")
    two = TrackerRendezvous([server.url], "secret")
    assert one.sync(_report(1)).peers == []
    assert two.sync(_report(2, host="10.1.2.3")).peers == [("127.0.0.1", 1001)]
    assert one.sync(_report(1, 2)).peers == [("10.1.2.3", 1002)]
    assert one.sync(_report(1, 3, leaving=True)).grant is None
    assert two.sync(_report(2, 2)).peers == []


def test_a_waiting_node_hears_of_a_new_chunk_at_once(server):
    waiting, other = (TrackerRendezvous([server.url], "secret") for _ in range(2))
    tag = waiting.sync(_report(1)).peers_tag
    other.sync(_report(2))
    tag = waiting.sync(_report(1, 2, peers_tag=tag)).peers_tag
    heard = []
    thread = threading.Thread(
        target=lambda: heard.append(waiting.sync(_report(1, 3, peers_tag=tag, wait_s=25)))
    )
    thread.start()
    other.sync(_report(2, 2, announce=[ChunkRecord(0, bytes(20))]))
    thread.join(20)
    assert [view.chunks for view in heard] == [[ChunkRecord(0, bytes(20))]]


@pytest.mark.parametrize(
    "change",
    [
        {"node": "../x"},
        {"port": 0},
        {"chunks": 10**9},
        {"have": [7]},
        {"host": "evil.example"},
        {"host": "999.1.1.1"},
        {"announce": [{"chunk": 0, "hashes": "AAAA"}]},
        {"surprise": 1},
    ],
)
def test_what_is_no_report_is_refused(server, change):
    body = {**msgspec.to_builtins(_report()), **change}
    assert _post(server, json.dumps(body).encode())[0] == 400


def test_a_body_beyond_the_bound_is_refused(server):
    try:
        status, _ = _post(server, b" " * (MAX_BODY + 2))
    except (BrokenPipeError, ConnectionResetError):
        return  # it hung up on us, which is also a refusal
    assert status == 413


def test_without_the_token_nothing_is_told(server):
    assert _post(server, b"{}", token="guess")[0] == 401
    with pytest.raises(SourceError, match="token"):
        TrackerRendezvous([server.url], "").sync(_report())


def test_others_are_never_served_without_a_token():
    with pytest.raises(UsageError, match="needs a token"):
        TrackerServer("0.0.0.0", 0)


def test_a_taken_port_is_said(server):
    with pytest.raises(ResourceError, match="cannot listen"):
        TrackerServer("127.0.0.1", server.port)


def test_the_next_tracker_is_asked_when_one_is_dead(server):
    pair = TrackerRendezvous(["http://127.0.0.1:9", server.url], "secret")
    assert pair.sync(_report()).peers == []
    with pytest.raises(UnreachableError):
        TrackerRendezvous(["http://127.0.0.1:9"], "secret").sync(_report())


def test_names_stand_for_their_addresses():
    assert "http://127.0.0.1:7000" in tracker_urls(["localhost:7000"])
    assert tracker_urls(["127.0.0.2", "127.0.0.1:1"]) == (
        "http://127.0.0.1:1",
        "http://127.0.0.2:6880",
    )
    for wrong in ("host:port", "user@host:1", "host/path"):
        with pytest.raises(UsageError):
            tracker_urls([wrong])
    with pytest.raises(SourceError, match="no address"):
        tracker_urls(["no-such-name.invalid"])
