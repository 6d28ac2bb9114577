"""The one thread that writes to the database, and what happens while it cannot.

Rows are written in the order in which they came: the batch in hand, then what was spilled to disk,
then the queue in memory. While the database is locked, full or gone, the batch is tried again with
growing pauses; the queue grows up to `Pace.memory_rows` and is then moved to the spill file. If
that cannot be written either, rows stay in memory up to `Pace.most_rows`, and only beyond that the
oldest are given up, counted and logged.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from pilotage.route.attempt import Attempt
from pilotage.route.ledger.calendar import day_of, first_day_of, month_of
from pilotage.route.ledger.money import atto_of
from pilotage.route.ledger.opening import said
from pilotage.route.ledger.pace import LedgerState, Pace
from pilotage.route.ledger.retention import fold
from pilotage.route.ledger.rows import Row, row_of
from pilotage.route.ledger.spend import Spend
from pilotage.route.ledger.spill import Spill
from pilotage.route.ledger.store import Store
from pilotage.route.ledger.sums import spend_since

_LOG: Final = logging.getLogger(__name__)


class Writer:
    """The queue and its thread.

    Args:
        connect: Opens the database.
        store: Already open; the thread takes it over.
        spill: Where rows go meanwhile.
        spend: Kept up to date with the database.
        retention_s: Age at which rows are folded into day sums.
        pace: Intervals and bounds.
        clock: Unix seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        store: Store,
        spill: Spill,
        spend: Spend,
        *,
        retention_s: float,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self._connect, self._clock = connect, clock
        self._store: Store | None = store
        self._spill, self._spend = spill, spend
        self._retention_s, self._pace = retention_s, pace
        # Guards what `put`, `flush` and `state` share with the thread; never held over I/O.
        self._lock = threading.Lock()
        self._progress = threading.Condition(self._lock)
        self._queue: deque[Attempt] = deque()
        self._batch: list[Row] = []
        self._taken = self._finished = self._lost = 0
        self._give_up_at: float | None = None
        self._stopped = self._failing = False
        self._wake, self._hurry, self._halt = (threading.Event() for _ in range(3))
        # Only the thread's own:
        self._written: dict[tuple[str, int], int] = {}
        self._refresh_at = self._fold_at = 0.0
        self._others = True
        self._thread = threading.Thread(target=self._run, name="pilotage-ledger", daemon=True)
        self._thread.start()

    def put(self, attempt: Attempt) -> bool:
        """Queue an attempt; False once the writer has stopped."""
        with self._lock:
            if self._stopped:
                return False
            self._queue.append(attempt)
            self._taken += 1
        if not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was queued before is in the database; whether it is by then."""
        with self._lock:
            target = self._taken
            self._hurry.set()
            self._wake.set()
            self._progress.wait_for(lambda: self._finished >= target or self._stopped, timeout_s)
            return self._finished >= target

    def stop(self, timeout_s: float) -> None:
        """Write what is left, to disk if not to the database, and end the thread."""
        with self._lock:
            self._give_up_at = time.monotonic() + timeout_s
        for event in (self._halt, self._hurry, self._wake):
            event.set()
        self._thread.join(timeout_s + 1)
        # A thread that hangs in the driver still has its batch, which may be written twice: to the
        # spill file now, and by it later. The ids make one of it.
        self._put_aside()

    @property
    def state(self) -> LedgerState:
        """How it stands."""
        with self._lock:
            return LedgerState(
                pending=self._taken - self._finished,
                spilled=self._spill.rows,
                lost=self._lost,
                failing=self._failing,
            )

    def _run(self) -> None:
        pause = 0.0
        while True:
            self._wait(pause)
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - whatever a driver raises is an outage
                pause = self._failed(error, pause)
            else:
                pause = 0.0
                self._recovered()
            with self._lock:
                give_up_at, idle = self._give_up_at, self._taken == self._finished
            if give_up_at is not None and (idle or time.monotonic() >= give_up_at):
                break
        self._put_aside()
        self._disconnect()

    def _wait(self, pause: float) -> None:
        if pause:
            if self._halt.wait(pause):
                time.sleep(min(pause, 0.05))
            return
        due = min(self._refresh_at, self._fold_at) - time.monotonic()
        if self._wake.wait(max(0.0, due)) and not self._hurry.is_set():
            self._hurry.wait(self._pace.batch_s)
        self._wake.clear()
        self._hurry.clear()

    def _turn(self) -> None:
        """Write all there is, and do what is due."""
        store = self._store
        if store is None:
            store = self._store = self._connect()
        if self._batch:
            self._write_batch(store)
        if self._spill.rows:
            self._write_spilled(store)
        if self._others:
            for rows in self._spill.left_by_others():
                store.insert(rows)
            self._others = False
        while self._take_batch():
            self._write_batch(store)
        now = time.monotonic()
        if now >= self._refresh_at:
            day = first_day_of(month_of(day_of(self._clock())))
            self._spend.rebase(spend_since(store, day), self._written)
            self._written = {}
            self._refresh_at = now + self._pace.refresh_s
        if now >= self._fold_at:
            # One small transaction a turn, so that new rows wait for no more than that.
            before = self._clock() - self._retention_s
            more = fold(store, before, self._pace.fold_rows) > 0
            self._fold_at = now if more else now + self._pace.fold_s
            self._others = not more

    def _take_batch(self) -> bool:
        with self._lock:
            attempts = [
                self._queue.popleft() for _ in range(min(len(self._queue), self._pace.batch_rows))
            ]
        rows = []
        for attempt in attempts:
            try:
                rows.append(row_of(attempt))
            except Exception as error:  # noqa: BLE001 - one such must not stop the others
                _LOG.error("an attempt that is none is not in the ledger: %s", said(error))
        with self._lock:
            self._batch = rows
            self._lost += len(attempts) - len(rows)
            self._finished += len(attempts) - len(rows)
        return bool(attempts)

    def _write_batch(self, store: Store) -> None:
        store.insert(self._batch)
        self._count(self._batch)
        with self._lock:
            self._finished += len(self._batch)
            self._batch = []
            self._progress.notify_all()

    def _write_spilled(self, store: Store) -> None:
        for rows in self._spill.batches():
            store.insert(rows)
        # Counted once all are in: a failure half-way begins the file again.
        for rows in self._spill.batches():
            self._count(rows)
        finished = self._spill.rows
        self._spill.clear()
        with self._lock:
            self._finished += finished
            self._progress.notify_all()

    def _count(self, rows: list[Row]) -> None:
        for row in rows:
            if row.key_id is not None:
                period = (row.key_id, row.day)
                self._written[period] = self._written.get(period, 0) + atto_of(row.cost)

    def _failed(self, error: Exception, pause: float) -> float:
        if not self._failing:
            _LOG.warning("the ledger cannot be written now, rows are kept: %s", said(error))
        with self._lock:
            self._failing = True
            waiting = len(self._queue)
        self._disconnect()
        if waiting > self._pace.memory_rows:
            self._relieve()
        longest = min(self._pace.most_retry_s, pause * 2 or self._pace.retry_s)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _recovered(self) -> None:
        if self._failing:
            _LOG.warning("the ledger can be written again")
            with self._lock:
                self._failing = False

    def _relieve(self) -> None:
        """Move the batch in hand and the queue to disk."""
        while self._batch or self._take_batch():
            try:
                self._spill.append(self._batch)
            except OSError as error:
                self._shed(error)
                return
            with self._lock:
                self._batch = []

    def _shed(self, error: OSError) -> None:
        with self._lock:
            most = self._pace.most_rows
            excess = max(0, len(self._queue) - most)
            for _ in range(excess):
                self._queue.popleft()
            self._lost += excess
            self._finished += excess
            self._progress.notify_all()
        _LOG.error(
            "neither the ledger nor the file beside it can be written (%s); "
            "attempts stay in memory, %d were given up",
            said(error),
            excess,
        )

    def _put_aside(self) -> None:
        with self._lock:
            self._stopped = True
            self._progress.notify_all()
        self._relieve()
        with self._lock:
            left = len(self._batch) + len(self._queue)
        if left:
            _LOG.error("%d attempts are lost: nothing could be written at the end", left)
        if self._spill.rows:
            _LOG.warning(
                "%d attempts wait in a file beside the ledger for its next opening",
                self._spill.rows,
            )
        self._spill.close()

    def _disconnect(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except Exception as error:  # noqa: BLE001 - it is gone anyway
                _LOG.debug("closing the ledger: %s", said(error))
