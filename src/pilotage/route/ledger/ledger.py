"""The ledger: every attempt becomes one row, off the hot path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pilotage.errors import StoreError
from pilotage.route.attempt import Attempt, now
from pilotage.route.ledger.calendar import day_of, first_day_of, month_of
from pilotage.route.ledger.money import atto_of
from pilotage.route.ledger.opening import opened, said
from pilotage.route.ledger.pace import LedgerState, Pace
from pilotage.route.ledger.rows import name_of, row_of
from pilotage.route.ledger.spend import Spend
from pilotage.route.ledger.spill import Spill
from pilotage.route.ledger.store import Store
from pilotage.route.ledger.sums import Recent, recent_by_key, spend_since
from pilotage.route.ledger.writer import Writer
from pilotage.spec.routing import LedgerSpec

_LOG: Final = logging.getLogger(__name__)


class Ledger:
    """An open ledger. Implements `AttemptSink`; all methods are thread-safe.

    `record` queues the attempt for the writer's thread, which commits what came in 20 ms together.
    What a process had not yet committed when it is killed is lost; what `flush` waited for is not.
    While the database refuses, rows wait in memory and then in a file beside it (see `Writer`),
    from which they are written when it is back, in this run or the next.

    Args:
        connect: Opens the database; called again whenever the connection is lost.
        spill: Path beside which rows wait on disk.
        retention_s: Age at which rows become day sums.
        pace: Intervals and bounds of the writing.
        clock: Unix seconds.

    Raises:
        StoreError: The database cannot be opened.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        spill: Path,
        *,
        retention_s: float,
        pace: Pace | None = None,
        clock: Callable[[], float] = now,
    ) -> None:
        store = opened(connect)
        self.spend: Final = Spend()
        """What keys have spent, kept up to date."""
        began = clock()
        try:
            self._recent = recent_by_key(store, began - 60)
            self.spend.rebase(spend_since(store, first_day_of(month_of(day_of(began)))), {})
        except Exception as error:  # noqa: BLE001 - each driver has its own
            store.close()
            raise StoreError(
                f"the ledger cannot be read ({said(error)})", where=store.name
            ) from None
        self._spill = Spill(spill)
        self._writer = Writer(
            connect,
            store,
            self._spill,
            self.spend,
            retention_s=retention_s,
            pace=pace or Pace(),
            clock=clock,
        )

    def record(self, attempt: Attempt) -> None:
        """Take an attempt; returns at once (a few microseconds, no I/O) and never raises."""
        try:
            if attempt.key_id is not None:
                self.spend.add(name_of(attempt.key_id), day_of(attempt.at), atto_of(attempt.cost))
            if not self._writer.put(attempt):
                # After `close`: a straggler is written down where the next opening finds it.
                self._spill.append([row_of(attempt)])
                self._spill.close()
        except Exception as error:  # noqa: BLE001 - no request may fail for its bookkeeping
            _LOG.error("an attempt is not in the ledger: %s", said(error))

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything recorded before is in the database.

        Returns:
            Whether it is, after ``timeout_s`` at most. Nothing is lost if it is not: rows are kept
            until it can be written.
        """
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is left and let go. What the database refuses goes to the file beside it."""
        self._writer.stop(timeout_s)

    def recent(self) -> Mapping[str, list[Recent]]:
        """What each key asked for in the minute before the ledger was opened."""
        return self._recent

    @property
    def state(self) -> LedgerState:
        """How the writing stands, for metrics and health."""
        return self._writer.state


def open_ledger(spec: LedgerSpec, environ: Mapping[str, str]) -> Ledger:
    """Open the ledger that a spec names, made if it is not there.

    Args:
        spec: A path or the name of a variable with an address, and the retention.
        environ: Where that variable is.

    Raises:
        UsageError: The variable is not set or holds no PostgreSQL address, or psycopg is missing.
        StoreError: The file or the database cannot be opened, is not a ledger, or was written by a
            newer Pilotage.
    """
    from pilotage.route.ledger.place import place_of  # noqa: PLC0415 - only it knows drivers

    place = place_of(spec.path, spec.url_env, environ)
    return Ledger(place.connect, place.spill, retention_s=spec.retention)
