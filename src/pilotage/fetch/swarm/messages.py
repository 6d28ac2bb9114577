"""What nodes and the rendezvous tell one another, whichever kind of rendezvous it is."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotage.fetch.swarm.metainfo import HASH, ChunkRecord

MAX_CHUNKS = 4096
MAX_BODY = 8 << 20
"""Bytes of one message, either way."""

Name = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8,64}$")]
ChunkNumber = Annotated[int, msgspec.Meta(ge=0, lt=MAX_CHUNKS)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Host = Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f.:]{2,45}$")]
ChunkList = Annotated[list[ChunkNumber], msgspec.Meta(max_length=MAX_CHUNKS)]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node says of itself; also its heartbeat.

    Attributes:
        swarm: The layout's digest.
        node: A random name for this process.
        chunks: Chunks of the layout.
        sequence: Counts this node's reports; one that arrives after a later one is not news.
        port: Where it listens for peers.
        host: The address that peers should use; None: the one this report comes from.
        have: Chunks that it has whole.
        known: Chunks whose hashes it knows.
        wants: It would pull from the origin if it were granted a chunk.
        pulling: The chunk that it pulls under a lease.
        stuck: A chunk that it cannot get from its peers and asks to pull itself.
        failed: A chunk that was granted and could not be pulled.
        announce: Chunks that it has pulled, or that the rendezvous lacks.
        peers_tag: The tag of the list of peers that it has.
        wait_s: How long the answer may wait for news, in seconds.
        leaving: This is its last report.
    """

    swarm: Name
    node: Name
    chunks: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHUNKS)]
    sequence: Annotated[int, msgspec.Meta(ge=0)]
    port: Port
    host: Host | None = None
    have: ChunkList = []
    known: ChunkList = []
    wants: bool = False
    pulling: ChunkNumber | None = None
    stuck: ChunkNumber | None = None
    failed: ChunkNumber | None = None
    announce: Annotated[list[ChunkRecord], msgspec.Meta(max_length=MAX_CHUNKS)] = []
    peers_tag: Annotated[str, msgspec.Meta(max_length=64)] = ""
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 0.0
    leaving: bool = False


class View(msgspec.Struct, frozen=True):
    """What the rendezvous answers.

    Attributes:
        chunks: Hashes of chunks that the node did not know.
        peers: Addresses of the other nodes that are alive.
        peers_tag: Changes with the list of peers.
        grant: The chunk that this node may pull from the origin now; it holds the lease.
        lacks: Chunks that the node knows and the rendezvous does not: announce them.
    """

    chunks: list[ChunkRecord] = []
    peers: list[tuple[Host, Port]] = []
    peers_tag: str = ""
    grant: int | None = None
    lacks: list[int] = []


def decode_report(data: bytes) -> Report:
    """Read a report.

    Raises:
        ValueError: It is none, or what it says contradicts itself.
    """
    return check_report(_REPORT.decode(data))


def check_report(report: Report) -> Report:
    """The report, if what it says agrees with itself.

    Raises:
        ValueError: It does not.
    """
    numbers = (*report.have, *report.known, *(r.chunk for r in report.announce))
    if any(number >= report.chunks for number in numbers):
        raise ValueError("a chunk is beyond the model's end")
    if any(not r.hashes or len(r.hashes) % HASH for r in report.announce):
        raise ValueError("an announcement has no whole hashes")
    return report


def decode_view(data: bytes) -> View:
    """Read a view.

    Raises:
        ValueError: It is none.
    """
    return _VIEW.decode(data)


_REPORT = msgspec.json.Decoder(Report)
_VIEW = msgspec.json.Decoder(View)
