"""One node's part in a swarm, from the first report to the last chunk.

The loop: chunks that others announced are had from peers, a few at a time, the lowest numbers
first; a chunk that the rendezvous grants is pulled from the origin and announced. Nothing is
decided here about whom the bytes can be trusted from: that is the caller's check of the files.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pilotage.errors import PilotageError, ResourceError, SourceError
from pilotage.fetch.origin import ChangedError, NoRangesError, Origin
from pilotage.fetch.progress import Phase, Progress, ProgressListener, unheard
from pilotage.fetch.retry import Retry
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.messages import Report, View
from pilotage.fetch.swarm.metainfo import ChunkRecord, checked_record
from pilotage.fetch.swarm.options import SwarmOptions
from pilotage.fetch.swarm.pull import OriginPuller
from pilotage.fetch.swarm.rendezvous import Rendezvous, UnreachableError
from pilotage.fetch.swarm.session import PeerSession
from pilotage.fetch.swarm.verify import RollingHasher

WINDOW: Final = 6
"""Chunks that are had from peers at a time."""

_TICK_S: Final = 0.05
_WATCH_S: Final = 0.25
_REPORT_S: Final = 3.0
_RETRY_S: Final = 0.5
_LOG = logging.getLogger(__name__)


class SwarmNode:
    """A member of one model's swarm.

    Args:
        layout: The model's.
        paths: Where its files lie, at their full sizes.
        rendezvous: Where it meets the others.
        options: How it takes part.
        say: Told, in one sentence, when something is not as it should be; by default the log.
    """

    def __init__(
        self,
        layout: Layout,
        paths: Sequence[Path],
        rendezvous: Rendezvous,
        options: SwarmOptions,
        *,
        say: Callable[[str], None] = _LOG.warning,
    ) -> None:
        self.layout = layout
        self.name = secrets.token_hex(8)
        # Replaced, never changed, so that another thread may be reading them.
        self.records: dict[int, ChunkRecord] = {}
        self._have: frozenset[int] = frozenset()
        self._paths = paths
        self._rendezvous = rendezvous
        self._options = options
        self._say = say
        self._session = PeerSession(
            layout,
            paths,
            secret=options.token.encode(),
            listen=(options.listen, options.port),
            upload_rate=options.upload_rate,
            download_rate=options.download_rate,
        )
        self._lock = threading.Lock()
        self._sequence = 0
        self._wants = False
        self._pulling: int | None = None
        self._stuck: int | None = None
        self._failed: int | None = None
        self._peers_tag = ""
        self._announce: dict[int, ChunkRecord] = {}
        self._views: queue.Queue[View] = queue.Queue()
        self._closing = threading.Event()
        self._is_resting = threading.Event()
        """Nobody runs the loop: the reporter does what is left of it."""
        self._refused: PilotageError | None = None
        self._reporter = threading.Thread(target=self._report, name="swarm-report", daemon=True)

    def fetch(
        self, origin: Origin, retry: Retry, progress: ProgressListener = unheard
    ) -> RollingHasher:
        """Have all chunks, from peers where they are and from the origin where it is our turn.

        Returns:
            The hasher that follows the chunks; its digests are the files'.

        Raises:
            SourceError: Neither the peers nor the origin give the bytes, or the tracker refuses.
            ResourceError: The disk is full.
        """
        hasher = RollingHasher(self.layout, self._paths)
        puller = OriginPuller(self.layout, self._paths, origin, retry, self._options.origin_streams)
        try:
            _Fetch(self, puller, hasher, progress).run()
        except BaseException:
            puller.stop()
            hasher.stop()
            raise
        self._is_resting.set()
        return hasher

    def give(self, records: Sequence[ChunkRecord]) -> None:
        """Offer chunks that are whole in the files, after an earlier run or as a seed."""
        for record in records:
            self._got(record)
            self._session.add(record, have=True)
        self._is_resting.set()
        if not self._reporter.is_alive():
            self._reporter.start()

    def close(self) -> None:
        """Leave the swarm."""
        self._closing.set()
        with suppress(UnreachableError, PilotageError):  # it will notice by itself
            self._rendezvous.sync(self._next_report(leaving=True))
        if self._reporter.ident is not None:
            self._reporter.join()
        self._session.close()

    def _got(self, record: ChunkRecord) -> None:
        with self._lock:
            self._have |= {record.chunk}
            self.records = {**self.records, record.chunk: record}

    def _next_report(self, *, wait_s: float = 0.0, leaving: bool = False) -> Report:
        with self._lock:
            self._sequence += 1
            return Report(
                swarm=self.layout.swarm,
                node=self.name,
                chunks=self.layout.chunks,
                sequence=self._sequence,
                port=self._session.port,
                host=self._options.advertise,
                have=sorted(self._have),
                known=sorted(self.records),
                wants=self._wants and len(self._have) < self.layout.chunks,
                pulling=self._pulling,
                stuck=self._stuck,
                failed=self._failed,
                announce=list(self._announce.values()),
                peers_tag=self._peers_tag,
                wait_s=wait_s,
                leaving=leaving,
            )

    def _exchange(self, *, wait_s: float = 0.0) -> None:
        """Report, and leave the answer for the loop.

        Raises:
            UnreachableError: There is no answer.
        """
        report = self._next_report(wait_s=wait_s)
        try:
            view = self._rendezvous.sync(report)
        except SourceError as error:
            self._refused = error
            raise UnreachableError(str(error)) from error
        with self._lock:
            for record in report.announce:
                self._announce.pop(record.chunk, None)
            for chunk in view.lacks:
                if chunk in self._have:
                    self._announce[chunk] = self.records[chunk]
        self._views.put(view)

    def _report(self) -> None:
        while not self._closing.is_set():
            try:
                self._exchange(wait_s=0.0 if self._announce else _REPORT_S)
                if self._is_resting.is_set():
                    self._take_views()
                    self._session.finished()
            except UnreachableError as error:
                _LOG.debug("no rendezvous: %s", error)
                self._closing.wait(_RETRY_S * random.uniform(1, 3))  # noqa: S311 - not a secret

    def _take_views(self) -> View | None:
        """Learn what the rendezvous said; the last view, if there was one."""
        last = None
        while True:
            try:
                last = self._views.get_nowait()
            except queue.Empty:
                return last
            self._session.know(last.peers)
            with self._lock:
                self._peers_tag = last.peers_tag
                fresh = {r.chunk: checked_record(self.layout, r) for r in last.chunks}
                self.records = {**fresh, **self.records}


class _Fetch:
    """The loop of a node that has not got everything."""

    def __init__(
        self,
        node: SwarmNode,
        puller: OriginPuller,
        hasher: RollingHasher,
        progress: ProgressListener,
    ) -> None:
        self._node = node
        self._session = node._session
        self._puller = puller
        self._hasher = hasher
        self._progress = progress
        self._active: set[int] = set()
        self._pulled: queue.Queue[tuple[int, ChunkRecord | None, Exception | None]] = queue.Queue()
        self._moved = (0, 0)
        self._moved_at = self._watched_at = time.monotonic()
        self._asked = self._alone = False
        self._failure: Exception | None = None

    def run(self) -> None:
        node = self._node
        for chunk in sorted(node._have):
            self._hasher.arrived(chunk)
        node._wants = True
        if not node._reporter.is_alive():
            node._reporter.start()
        while len(node._have) < node.layout.chunks:
            self._session.wait(_TICK_S)
            self._take_finished()
            view = node._take_views()
            if view is not None and view.grant is not None:
                self._start_pull(view.grant)
            self._take_pulled()
            self._activate()
            if time.monotonic() - self._watched_at > _WATCH_S:
                self._watched_at = time.monotonic()
                self._watch()
        self._tell()

    def _take_finished(self) -> None:
        done, failure = self._session.finished()
        if failure is not None:
            raise ResourceError(f"the disk failed: {failure}", hint="Free some space")
        for chunk in done:
            if chunk in self._active:
                self._active.discard(chunk)
                self._node._got(self._node.records[chunk])
                self._hasher.arrived(chunk)

    def _activate(self) -> None:
        node = self._node
        for chunk in sorted(node.records.keys() - node._have - self._active):
            if len(self._active) >= WINDOW:
                return
            if chunk != node._pulling:
                self._active.add(chunk)
                self._session.add(node.records[chunk], have=False)

    def _start_pull(self, chunk: int) -> None:
        node = self._node
        if node._pulling is not None or chunk in node._have or chunk >= node.layout.chunks:
            return
        with node._lock:
            node._pulling = chunk
        self._active.discard(chunk)
        self._session.forget(chunk)
        threading.Thread(target=self._pull, args=(chunk,), name="swarm-pull", daemon=True).start()

    def _pull(self, chunk: int) -> None:
        node = self._node
        record: ChunkRecord | None = None
        failure: Exception | None = None
        try:
            record = self._puller.pull(chunk)
        except Exception as error:  # noqa: BLE001 - goes to the loop, which raises it
            failure = error
        with node._lock:
            node._pulling = None
            if record is None:
                node._failed, node._wants = chunk, False
            else:
                node._stuck = node._failed = None
                node._announce[chunk] = record
                node._have |= {chunk}
        self._pulled.put((chunk, record, failure))
        with suppress(UnreachableError):  # the reporter goes on trying
            # At once: the next node's turn begins with this report.
            node._exchange()

    def _take_pulled(self) -> None:
        node = self._node
        while True:
            try:
                chunk, record, failure = self._pulled.get_nowait()
            except queue.Empty:
                return
            if record is None:
                fatal = isinstance(failure, ChangedError | NoRangesError)
                if not isinstance(failure, SourceError) or fatal or self._alone:
                    raise failure or SourceError("the origin failed")
                self._failure = failure
                node._say(f"This node cannot pull from the origin: {failure}")
                continue
            known = node.records.get(chunk)
            if known is not None and known.hashes != record.hashes:
                node._say(f"Peers announced other bytes of chunk {chunk} than the origin's")
            node._got(record)
            self._session.add(record, have=True)
            self._hasher.arrived(chunk)

    def _watch(self) -> None:
        """Notice when nothing moves, and do something about it."""
        node, options = self._node, self._node._options
        if isinstance(node._refused, SourceError) and not node.records:
            raise node._refused
        now = time.monotonic()
        moved = self._tell()
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
            if not self._alone:
                self._asked = False
                node._stuck = None
            return
        still = now - self._moved_at
        missing = sorted(set(range(node.layout.chunks)) - node._have)
        if still > options.stall_s and not self._asked and missing:
            self._asked = True
            node._stuck = missing[0]
            node._say(
                f"Nothing has come from the swarm for {still:.0f} s; this node asks to pull "
                "from the origin itself"
            )
        patience = options.stall_s if self._failure is not None else options.alone_s
        if (still > patience or self._alone) and missing and node._pulling is None:
            if self._failure is not None:
                raise self._failure
            if not self._alone:
                node._say(
                    f"Nothing has come from the swarm for {still:.0f} s; this node goes on with "
                    "the origin, beyond the swarm's quota"
                )
            self._alone = True
            # At random: of several nodes in this state each pulls something else first.
            self._start_pull(random.choice(missing))  # noqa: S311 - not a secret

    def _tell(self) -> tuple[int, int]:
        """Report progress; the bytes that came from each side, which only grow."""
        layout = self._node.layout
        done = sum(layout.size(chunk) for chunk in self._node._have)
        partial = sum(layout.size(c) - self._session.missing(c) for c in self._active)
        self._progress(
            Progress(
                Phase.DOWNLOAD,
                layout.files[0].path if len(layout.files) == 1 else f"{len(layout.files)} files",
                done + partial,
                layout.total,
            )
        )
        return done + partial, self._puller.received
