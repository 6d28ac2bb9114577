"""Meeting in a folder that all nodes share (EFS, NFS, a volume): files as announcements.

::

    FOLDER/SWARM/nodes/NODE.json       the node's latest report
    FOLDER/SWARM/chunks/00012.json     a chunk's hashes
    FOLDER/SWARM/leases/0              who may pull, and what; as many as the quota

Every file is written beside its place and renamed, so that a reader sees it whole or not at all.
Whether a node lives is judged by its file changing, on the reader's own clock: clocks of machines
differ. A lease is a file that only one node can make.
On a filesystem where two can, a chunk is pulled twice, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import random
import re
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from pilotage.errors import StoreError
from pilotage.fetch.swarm.messages import MAX_BODY, Report, View, check_report
from pilotage.fetch.swarm.metainfo import ChunkRecord
from pilotage.fetch.swarm.rendezvous import UnreachableError
from pilotage.fetch.swarm.state import NODE_S

_POLL_S: Final = 0.2
_FILE: Final = re.compile(r"[0-9a-f]{8,64}\.json")


class _Beat(msgspec.Struct, frozen=True):
    beat: int
    report: Report


class _Lease(msgspec.Struct, frozen=True):
    node: str
    chunk: int
    beat: int


@dataclass(slots=True)
class _Seen:
    content: bytes
    since: float


class FolderRendezvous:
    """Meets in a folder. Whoever may write there belongs to the fleet.

    Args:
        folder: The shared folder; it must exist.
        quota: Nodes that may pull from the origin at once; the same on all nodes.

    Raises:
        StoreError: The folder is not there.
    """

    def __init__(self, folder: Path, *, quota: int = 1) -> None:
        if not folder.is_dir():
            raise StoreError(
                "there is no such folder",
                where=str(folder),
                hint="PILOTAGE_SWARM_FOLDER names a folder that all nodes share",
            )
        self._folder = folder
        self._quota = quota
        self._lock = threading.Lock()
        self._seen: dict[Path, _Seen] = {}
        self._records: dict[int, ChunkRecord] = {}
        self._slot: int | None = None
        self._lease: _Lease | None = None
        self._latest: Report | None = None
        self._beats = 0
        self._has_left = False

    def sync(self, report: Report) -> View:
        """Write the report, read the others'.

        Raises:
            UnreachableError: The filesystem fails.
        """
        deadline = time.monotonic() + report.wait_s
        try:
            while True:
                with self._lock:
                    view = self._exchange(report)
                news = (
                    view.chunks
                    or view.peers_tag != report.peers_tag
                    or (view.grant is not None and view.grant != report.pulling)
                )
                if news or self._has_left or time.monotonic() >= deadline:
                    return view
                time.sleep(_POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        except OSError as error:
            raise UnreachableError(f"{self._folder}: {error.strerror or error}") from error

    def _exchange(self, report: Report) -> View:
        base = self._folder / report.swarm
        for name in ("nodes", "chunks", "leases"):
            (base / name).mkdir(parents=True, exist_ok=True)
        mine = base / "nodes" / f"{report.node}.json"
        if report.leaving:
            self._has_left = True
        if self._has_left:
            self._release(base)
            mine.unlink(missing_ok=True)
            return View()
        if self._latest is None or report.sequence > self._latest.sequence:
            self._latest = report
            for record in report.announce:
                target = base / "chunks" / f"{record.chunk:05d}.json"
                if not target.exists():
                    _write(target, msgspec.json.encode(record))
        # A call that has waited since before the latest report must not speak for the node.
        latest = msgspec.structs.replace(
            self._latest, host=report.host or own_address(), announce=[], peers_tag=""
        )
        self._beats += 1
        _write(mine, msgspec.json.encode(_Beat(self._beats, latest)))
        self._read_chunks(base / "chunks", report.chunks)
        others = self._alive(base / "nodes", mine, report)
        grant = self._leased(base, latest, others)
        known = frozenset(report.known) | {record.chunk for record in report.announce}
        peers = sorted((other.host or "", other.port) for other in others)
        return View(
            chunks=[record for chunk, record in self._records.items() if chunk not in known],
            peers=peers,
            peers_tag=hashlib.sha256(repr(peers).encode()).hexdigest()[:16],
            grant=grant,
        )

    def _read_chunks(self, folder: Path, chunks: int) -> None:
        for path in folder.iterdir():
            number = path.stem
            if not number.isdigit() or path.suffix != ".json" or int(number) in self._records:
                continue
            with contextlib.suppress(ValueError):
                record = msgspec.json.decode(_read(path), type=ChunkRecord)
                if record.chunk == int(number) < chunks:
                    self._records[record.chunk] = record

    def _alive(self, folder: Path, mine: Path, report: Report) -> list[Report]:
        found: list[Report] = []
        for path in folder.iterdir():
            if path == mine or not _FILE.fullmatch(path.name):
                continue
            try:
                content = _read(path)
                if self._age(path, content) > NODE_S:
                    continue
                other = check_report(msgspec.json.decode(content, type=_Beat).report)
                ipaddress.ip_address(other.host or "")
            except (FileNotFoundError, ValueError):
                continue
            if other.swarm == report.swarm and other.chunks == report.chunks:
                found.append(other)
        return found

    def _age(self, path: Path, content: bytes) -> float:
        """Seconds for which a file has not changed, as far as this process has seen."""
        now = time.monotonic()
        seen = self._seen.get(path)
        if seen is None or seen.content != content:
            self._seen[path] = _Seen(content, now)
            return 0.0
        return now - seen.since

    def _leased(self, base: Path, report: Report, others: list[Report]) -> int | None:
        if self._lease is not None:
            chunk = self._lease.chunk
            if chunk in report.have or chunk == report.failed or not report.wants:
                self._release(base)
                # The others' turn: the first copies should come from all nodes.
                return None
            self._lease = msgspec.structs.replace(self._lease, beat=self._lease.beat + 1)
            _write(base / "leases" / str(self._slot), msgspec.json.encode(self._lease))
            return chunk
        if not report.wants:
            return None
        held = set(report.have).union(*(other.have for other in others))
        taken = {lease.chunk for lease in self._leases(base, report)}
        free = [c for c in range(report.chunks) if c not in held and c not in taken]
        wanted = free[0] if free else report.stuck
        if wanted is None or wanted in taken:
            return None
        for slot in range(self._quota):
            path = base / "leases" / str(slot)
            lease = _Lease(report.node, wanted, 0)
            if _create(path, msgspec.json.encode(lease)):
                self._slot, self._lease = slot, lease
                return wanted
        return None

    def _leases(self, base: Path, report: Report) -> list[_Lease]:
        found: list[_Lease] = []
        for slot in range(self._quota):
            path = base / "leases" / str(slot)
            try:
                content = _read(path)
                if self._age(path, content) > NODE_S:
                    # Its holder is dead. Of several that see it one can move it away.
                    grave = path.with_name(f"{slot}.{report.node}")
                    path.rename(grave)
                    grave.unlink()
                    continue
                found.append(msgspec.json.decode(content, type=_Lease))
            except (FileNotFoundError, ValueError):
                continue
        return found

    def _release(self, base: Path) -> None:
        if self._lease is not None:
            path = base / "leases" / str(self._slot)
            with contextlib.suppress(FileNotFoundError, ValueError):
                held = msgspec.json.decode(_read(path), type=_Lease)
                if held.node == self._lease.node:
                    path.unlink()
            self._lease = self._slot = None


def own_address() -> str:
    """The address that this machine sends from, towards other networks; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BODY)


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    beside.write_bytes(content)
    beside.replace(path)


def _create(path: Path, content: bytes) -> bool:
    """Make a file that nobody else has made; False when somebody has."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return True
