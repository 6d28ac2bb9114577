"""One run: a load, made ready on disk, sent by processes of its own, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from pilotage.prove.client.messages import Setup
from pilotage.prove.client.senders import Senders, Standing
from pilotage.prove.client.spool import Spool
from pilotage.prove.load import ClosedLoop, Load, Schedule
from pilotage.prove.payload import PayloadSource
from pilotage.prove.record import Record
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.trial import Trial

REQUESTS_PER_SENDER = 1000.0
"""Requests a second, in the busiest second, that one sender is given when nothing else is said.

Well below what it can do (``make bench-loadgen``), as streamed tokens cost it more than requests.
"""

CLOSED_LOOP_PAYLOADS = 4096
"""Payloads that a closed loop without a number of requests goes round in."""

_OVERTIME_S = 15.0


@dataclass(frozen=True)
class Moment:
    """A run in progress.

    Attributes:
        at: Seconds since its start.
        new: Requests that ended since the last moment.
        begun: Requests begun so far.
        ended: Requests ended so far.
        in_flight: Requests under way.
        overdue: Those of them that are late already, by the limits given to `run`; without those
            of the warm-up.
    """

    at: float
    new: list[Record]
    begun: int
    ended: int
    in_flight: int
    overdue: int


class Stop:
    """Ends a run before its time: on Ctrl-C, or when a search has seen enough.

    Attributes:
        reason: Why; None while the run goes on.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._asked = asyncio.Event()

    def now(self, reason: str) -> None:
        """End it; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self._asked.set()

    async def wait(self) -> None:
        """Until `now` was called."""
        await self._asked.wait()


@contextlib.contextmanager
def prepared(
    load: Load,
    source: PayloadSource,
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Spool]:
    """The requests of ``load``, made before the clock starts.

    Args:
        load: When requests are due.
        source: Of the prompts.
        seed: Of the prompts.
        progress: Told now and then how many are made.

    Raises:
        ResourceError: The disk is full.
        UsageError: There is not one prompt, or they cannot follow the load.
    """
    count = len(load) if isinstance(load, Schedule) else load.requests or CLOSED_LOOP_PAYLOADS
    prescribed = load if isinstance(load, Schedule) else None
    with Spool() as spool:
        spool.write(source.payloads(count, seed=seed, prescribed=prescribed), progress)
        if isinstance(load, Schedule):
            spool.write_times(load.times_s)
        yield spool


async def run(
    endpoint: Endpoint,
    load: Load,
    spool: Spool,
    *,
    timeout_s: float,
    warm_up_s: float = 0.0,
    senders: int | None = None,
    keep_text: bool = False,
    first_token_by_s: float | None = None,
    end_by_s: float | None = None,
    cpus: tuple[int, ...] = (),
    on_start: Callable[[float], None] | None = None,
    on_moment: Callable[[Moment], None] | None = None,
    stop: Stop | None = None,
) -> Trial:
    """Send ``load`` to ``endpoint`` and wait for every answer, but none longer than ``timeout_s``.

    Args:
        endpoint: Whom to.
        load: When.
        spool: What; of `prepared`.
        timeout_s: Longest time from a request's due time to the end of its answer.
        warm_up_s: Requests due before this second are warm-up.
        senders: Processes that send; chosen from the load if not given.
        keep_text: Keep the answers' text, for counting tokens.
        first_token_by_s: Seconds after which a request without a token counts as overdue.
        end_by_s: Seconds after which one without an end does.
        cpus: CPU cores that the senders keep to; empty for all.
        on_start: Called with the clock reading (``time.monotonic()``) that is the run's time 0.
        on_moment: Called several times a second.
        stop: Ends the run early.

    Raises:
        PilotageError: A sender process died.
    """
    count = senders or senders_for(load)
    if isinstance(load, ClosedLoop):
        count = min(count, load.concurrency)
    whole = Setup(
        sender=0,
        senders=count,
        host=endpoint.host,
        port=endpoint.port,
        tls=endpoint.tls,
        head=endpoint.head,
        content_types=spool.content_types,
        bodies_fd=spool.descriptors[0],
        table_fd=spool.descriptors[1],
        times_fd=spool.descriptors[2],
        concurrency=load.concurrency if isinstance(load, ClosedLoop) else 0,
        duration_s=load.duration_s if isinstance(load, ClosedLoop) else None,
        requests=load.requests if isinstance(load, ClosedLoop) else None,
        timeout_s=timeout_s,
        keep_text=keep_text,
        first_token_by_s=first_token_by_s,
        end_by_s=end_by_s,
        cpus=cpus,
        overdue_from_s=warm_up_s,
    )
    records: list[Record] = []
    stop = stop or Stop()
    started = 0.0

    def heard(standing: Standing) -> None:
        records.extend(standing.records)
        if on_moment is not None:
            at = time.monotonic() - started
            counts = standing.begun, len(records), standing.in_flight, standing.overdue
            on_moment(Moment(at, standing.records, *counts))

    async with Senders([_part(whole, number) for number in range(count)]) as processes:
        started = processes.start()
        if on_start is not None:
            on_start(started)
        listening = asyncio.ensure_future(processes.listen(heard))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait(
                {listening, stopping},
                timeout=_longest(load, timeout_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
            stopped_at = None
            if not listening.done():
                # A closed loop that ends by number has no end in time but this one.
                stop.now("deadline")
                stopped_at = time.monotonic() - started
                processes.stop()
            try:
                stats = await asyncio.wait_for(listening, _OVERTIME_S)
            except TimeoutError:
                # What was heard so far is still worth a report.
                stop.now("a sender process did not end in time")
                stats = []
        finally:
            stopping.cancel()
            listening.cancel()
    records.sort(key=lambda record: record.index)
    due_s = _due_s(load, records)
    return Trial(
        records=tuple(records),
        senders=tuple(stats),
        due_s=due_s if stopped_at is None else min(due_s, stopped_at),
        warm_up_s=warm_up_s,
        open_loop=isinstance(load, Schedule),
        planned=len(load) if isinstance(load, Schedule) else load.requests,
        stopped=None if stopped_at is None else stop.reason,
    )


def senders_for(load: Load) -> int:
    """How many sender processes ``load`` is given: by its busiest second, one a core at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = max(1, (cores or 2) - 1)
    if isinstance(load, ClosedLoop):
        return 1 if load.concurrency <= 256 else min(most, 1 + load.concurrency // 256)
    if not len(load):
        return 1
    busiest = int(np.bincount(load.times_s.astype(np.int64)).max())
    return max(1, min(most, -int(-busiest // REQUESTS_PER_SENDER)))


def _part(whole: Setup, number: int) -> Setup:
    """What sender ``number`` does of the ``whole``."""
    share, one_more = divmod(whole.concurrency, whole.senders)
    requests = whole.requests
    if requests is not None:
        requests = requests // whole.senders + (number < requests % whole.senders)
    return msgspec.structs.replace(
        whole, sender=number, concurrency=share + (number < one_more), requests=requests
    )


def _longest(load: Load, timeout_s: float) -> float | None:
    """Seconds after which a run must have ended by itself."""
    if isinstance(load, Schedule):
        return load.duration_s + timeout_s + _OVERTIME_S
    if load.duration_s is not None:
        return load.duration_s + timeout_s + _OVERTIME_S
    return None if load.requests is None else load.requests * timeout_s + _OVERTIME_S


def _due_s(load: Load, records: list[Record]) -> float:
    if isinstance(load, Schedule):
        return load.duration_s
    if load.duration_s is not None and load.requests is None:
        return load.duration_s
    return max((record.end_s for record in records), default=0.0)
