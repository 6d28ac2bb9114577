"""One swarm as the tracker sees it: who is there, which chunks are known, who may pull.

Pure: no clock, no socket. Everything here can be lost; the nodes' next reports rebuild it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from pilotage.fetch.swarm.messages import Report, View
from pilotage.fetch.swarm.metainfo import ChunkRecord

NODE_S: Final = 10.0
"""Seconds without a report after which a node counts as dead; its lease goes to another."""

MAX_NODES: Final = 4096
MAX_HASHES: Final = 64 << 20
"""Bytes of piece hashes that one swarm may hold in the tracker."""


class FullError(Exception):
    """The swarm has as many nodes, or hashes, as the tracker keeps."""


@dataclass(slots=True)
class _Node:
    host: str
    port: int
    seen: float
    sequence: int = -1
    have: frozenset[int] = frozenset()
    wants: bool = False
    stuck: int | None = None
    refused: set[int] = field(default_factory=set)
    pulls: int = 0


class SwarmState:
    """The nodes and chunks of one model.

    At most ``quota`` nodes hold a lease at any moment. A lease is for one chunk. The next goes to
    the node that has had the fewest, so the chunks' first copies are spread over all nodes, and
    with them the work of passing them on; with one node pulling everything, its uplink would
    carry every chunk's first copies alone (measured: twice the time with four nodes, and more
    with more).

    Args:
        chunks: Chunks of the model.
        quota: Nodes that may pull from the origin at once.
    """

    def __init__(self, chunks: int, *, quota: int = 1) -> None:
        self.chunks = chunks
        self.quota = quota
        self.leases: dict[int, str] = {}
        self._nodes: dict[str, _Node] = {}
        self._records: dict[int, ChunkRecord] = {}
        self.touched = 0.0

    def take(self, report: Report, host: str, now: float) -> None:
        """Note what a node says, forget the dead, and give out the leases that are free.

        Raises:
            FullError: There is no room for another node, or for its announcements.
        """
        self.touched = now
        self._forget_dead(now)
        if report.leaving:
            self._drop(report.node)
        else:
            self._note(report, host, now)
        self._assign()

    def view(self, report: Report) -> View:
        """What the node that sent this report should know now."""
        known = frozenset(report.known) | {record.chunk for record in report.announce}
        peers = sorted(
            (node.host, node.port) for name, node in self._nodes.items() if name != report.node
        )
        return View(
            chunks=[record for chunk, record in self._records.items() if chunk not in known],
            peers=peers,
            peers_tag=hashlib.sha256(repr(peers).encode()).hexdigest()[:16],
            grant=next((c for c, name in self.leases.items() if name == report.node), None),
            lacks=sorted(known - self._records.keys()),
        )

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def _note(self, report: Report, host: str, now: float) -> None:
        node = self._nodes.get(report.node)
        if node is None:
            if len(self._nodes) >= MAX_NODES:
                raise FullError
            node = self._nodes[report.node] = _Node(host, report.port, now)
        if report.sequence <= node.sequence:
            return
        node.sequence = report.sequence
        announced = {record.chunk for record in report.announce}
        node.host, node.port, node.seen = report.host or host, report.port, now
        node.have = frozenset(report.have) | announced
        node.wants, node.stuck = report.wants, report.stuck
        if report.failed is not None:
            node.refused.add(report.failed)
        held = sum(len(record.hashes) for record in self._records.values())
        for record in report.announce:
            held += len(record.hashes)
            if held > MAX_HASHES:
                raise FullError
            self._records.setdefault(record.chunk, record)
        for chunk, name in list(self.leases.items()):
            if name == report.node and (chunk in node.have or chunk in node.refused):
                del self.leases[chunk]

    def _forget_dead(self, now: float) -> None:
        for name in [n for n, node in self._nodes.items() if now - node.seen > NODE_S]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._nodes.pop(name, None)
        self.leases = {chunk: holder for chunk, holder in self.leases.items() if holder != name}

    def _assign(self) -> None:
        held = frozenset().union(*(node.have for node in self._nodes.values()))
        needed = [c for c in range(self.chunks) if c not in held and c not in self.leases]
        idle = sorted(
            (node.pulls, name)
            for name, node in self._nodes.items()
            if node.wants and name not in self.leases.values()
        )
        for _, name in idle:
            if len(self.leases) >= self.quota:
                return
            node = self._nodes[name]
            chunk = next((c for c in needed if c not in node.refused), None)
            if chunk is None and node.stuck is not None and node.stuck not in self.leases:
                chunk = node.stuck
            if chunk is None:
                continue
            if chunk in needed:
                needed.remove(chunk)
            self.leases[chunk] = name
            node.pulls += 1
