"""A sender: sends its share of a run's requests when they are due and records the answers.

Everything happens in callbacks of one event loop. A request is begun when its time has come,
whatever became of those before it (an open loop); its latency counts from that time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import ssl
import time
from collections import deque

from pilotage.prove.client.answer import printable
from pilotage.prove.client.clock import Timer, sleep_until
from pilotage.prove.client.connection import Connection, connect
from pilotage.prove.client.messages import Finished, Progress, Setup
from pilotage.prove.client.reporter import Reporter
from pilotage.prove.client.request import Request
from pilotage.prove.client.spool import SpooledPayloads, read_times
from pilotage.prove.record import LOCAL, Outcome, Record, SenderStats

_REPORT_S = 0.1
_SWEEP_S = 0.02
_TICK_S = 0.01
_AT_ONCE = 32
"""Requests begun in a row before the loop looks for answers again."""

_REST_S = 0.1
"""How long a client of a closed loop waits after a failure before it sends again."""

_OURS = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,  # no port left
}
_RESERVED_FILES = 64


class Sender:
    """The state of one sender process.

    Args:
        setup: What to do.
        report: Sends a message to the parent.
    """

    def __init__(self, setup: Setup, report: Reporter) -> None:
        self.setup = setup
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._payloads = SpooledPayloads(setup.bodies_fd, setup.table_fd)
        self._heads = [
            setup.head + f"Content-Type: {kind}\r\nContent-Length: ".encode()
            for kind in setup.content_types
        ]
        # Every `senders`-th request is ours; rows of the payload table go round.
        self._times: list[float] = []
        if setup.times_fd >= 0:
            self._times = read_times(setup.times_fd)[setup.sender :: setup.senders].tolist()
        self._tls = ssl.create_default_context() if setup.tls else None
        self._most_connections = _file_limit() - _RESERVED_FILES
        self._connections = 0
        self._opened = 0
        self._idle: list[Connection] = []
        self._waiting: deque[Request] = deque()
        self._running: deque[Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: list[Record] = []
        self._lags: list[float] = []
        self._begun = 0
        self._in_flight = 0
        self._resting = 0
        self._start = 0.0
        self._all_begun = False
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer = Timer(self._loop, self._due)

    async def run(self, start: float) -> None:
        """Send everything, from the clock reading ``start`` on, and wait for the last answer."""
        self._start = start
        await sleep_until(start)  # what is sent before it would pass for warm-up
        cpu = time.process_time()
        housekeeping = asyncio.ensure_future(self._keep_house())
        if self.setup.times_fd >= 0:
            self._due()
        else:
            self._fill()
        await self._done
        elapsed = time.monotonic() - start
        housekeeping.cancel()
        self._timer.close()
        self._flush()
        lags = sorted(self._lags) or [0.0]
        stats = SenderStats(
            sender=self.setup.sender,
            cpu_s=time.process_time() - cpu,
            elapsed_s=elapsed,
            loop_lag_p50_s=lags[len(lags) // 2],
            loop_lag_p99_s=lags[min(len(lags) - 1, int(len(lags) * 0.99))],
            loop_lag_max_s=lags[-1],
            connections=self._opened,
        )
        self._report.send(Finished(stats))
        for connection in self._idle:
            connection.abort()

    def stop(self) -> None:
        """Begin nothing more and record what is under way as cancelled."""
        if self._done.done():
            return
        now = time.monotonic()
        if self._times:
            # Due already, but not begun: the sender itself was behind.
            while self._begun < len(self._times) and self._start + self._times[self._begun] <= now:
                self._in_flight += 1
                self._running.append(self._next(self._start + self._times[self._begun]))
        self._all_begun = True
        for request in list(self._running):
            self._drop(request, "cancelled", "the run was stopped")
        self._no_more()

    # Beginning requests

    def _due(self) -> None:
        """Begin what is due, and set the timer for what comes next."""
        times, total = self._times, len(self._times)
        now = time.monotonic() - self._start
        for _ in range(_AT_ONCE):
            if self._all_begun or self._begun >= total:
                break
            due = times[self._begun]
            if due > now:
                self._timer.arm(self._start + due)
                return
            self._begin(self._start + due)
        if self._begun < total and not self._all_begun:
            self._loop.call_soon(self._due)
        else:
            self._no_more()

    def _fill(self) -> None:
        """Closed loop: begin what the idle clients can."""
        setup, now = self.setup, time.monotonic()
        while self._in_flight + self._resting < setup.concurrency and not self._all_begun:
            over = setup.duration_s is not None and now - self._start >= setup.duration_s
            if over or (setup.requests is not None and self._begun >= setup.requests):
                self._no_more()
                return
            self._begin(now)

    def _next(self, due: float) -> Request:
        request = Request(self, self._begun, due, self._row(self._begun))
        self._begun += 1
        return request

    def _row(self, serial: int) -> int:
        index = serial * self.setup.senders + self.setup.sender
        return index % len(self._payloads.rows)

    def _begin(self, due: float) -> None:
        request = self._next(due)
        self._in_flight += 1
        self._running.append(request)
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.open:
                self._send(request, connection)
                return
        self.connect_for(request)

    def connect_for(self, request: Request) -> None:
        """Have a new connection carry ``request``, or the next one that is free."""
        request.connection = None
        if self._connections >= self._most_connections:
            request.queued = True
            self._waiting.append(request)
            return
        if request.queued:
            request.take_up()
        self._connections += 1
        self._opened += 1
        task = self._loop.create_task(self._connect(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, request: Request) -> None:
        try:
            connection = await connect(self.setup.host, self.setup.port, self._tls, self._closed)
        except OSError as error:
            ours = LOCAL if error.errno in _OURS else ""
            request.end("unreachable", printable(f"{ours}{reason(error)}"), time.monotonic())
            self._closed()
            return
        if request.over:
            self.release(connection)
        else:
            self._send(request, connection)

    def _send(self, request: Request, connection: Connection) -> None:
        offset, length, kind, _, _ = self._payloads.rows[request.row]
        head = self._heads[kind] + b"%d\r\n\r\n" % length
        request.connection = connection
        request.sent = time.monotonic()
        connection.send(head, self._payloads.body(offset, length), request)

    # Ending requests

    def release(self, connection: Connection) -> None:
        """Keep ``connection``, which is free, for the next request."""
        while self._waiting:
            request = self._waiting.popleft()
            if not request.over:
                request.take_up()
                self._send(request, connection)
                return
        self._idle.append(connection)

    def _closed(self) -> None:
        """A connection is gone: open another for a request that waits for one."""
        self._connections -= 1
        while self._waiting and self._connections < self._most_connections:
            request = self._waiting.popleft()
            if not request.over:
                self.connect_for(request)

    def _drop(self, request: Request, outcome: Outcome, error: str) -> None:
        if request.connection is not None:
            request.connection.abort()
        request.end(outcome, error, time.monotonic())

    def ended(self, request: Request, outcome: Outcome, error: str | None, at: float) -> None:
        """Write the record of ``request``, which ended ``at``."""
        if request.queued:
            request.take_up()  # never, really: all its time was ours
        self._in_flight -= 1
        _, _, _, prompt_tokens, asked_tokens = self._payloads.rows[request.row]
        index = request.serial * self.setup.senders + self.setup.sender
        answer, start = request.answer, self._start
        self._records.append(
            Record(
                index=index,
                # As it was planned, to the last bit: a request may be due where the warm-up ends.
                scheduled_s=self._times[request.serial] if self._times else request.due - start,
                started_s=request.started - start,
                sent_s=None if request.sent is None else request.sent - start,
                first_token_s=None if answer.first_at is None else answer.first_at - start,
                last_token_s=None if answer.last_at is None else answer.last_at - start,
                end_s=at - start,
                outcome=outcome,
                status=answer.status,
                error=error,
                finish_reason=answer.finish_reason,
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                expected_prompt_tokens=None if prompt_tokens < 0 else prompt_tokens,
                asked_tokens=None if asked_tokens < 0 else asked_tokens,
                chunks=answer.chunks,
                gaps=answer.gaps.tobytes(),
                retry_after_s=answer.retry_after_s,
                queue_s=answer.queue_s,
                text=answer.text,
                sender=self.setup.sender,
                repeat=index // len(self._payloads.rows),
                resent=request.resent,
            )
        )
        if self.setup.times_fd < 0 and not self._all_begun:
            if outcome == "complete":
                self._loop.call_soon(self._fill)
            else:
                # A server that refuses at once must not be hammered, nor this loop starved.
                self._resting += 1
                self._loop.call_later(_REST_S, self._rested)
        elif self._all_begun and self._in_flight == 0:
            self._no_more()

    def _rested(self) -> None:
        self._resting -= 1
        self._fill()

    def _no_more(self) -> None:
        """Nothing more will be begun; the run is over when nothing is in flight."""
        self._all_begun = True
        if self._in_flight == 0 and not self._done.done():
            self._done.set_result(None)

    # Housekeeping

    async def _keep_house(self) -> None:
        """Time-outs, reports to the parent, and how late this loop itself is."""
        next_report = time.monotonic() + _REPORT_S
        next_sweep = 0.0
        while True:
            expected = time.monotonic() + _TICK_S
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            # Of whatever came while the loop stood still, most waited: one look for each tick
            # that was missed, or a stall would count no more than a moment.
            lag = max(0.0, now - expected)
            self._lags.append(lag)
            while (lag := lag - _TICK_S) > 0:
                self._lags.append(lag)
            if now >= next_sweep:
                next_sweep = now + _SWEEP_S
                self._sweep(now)
            if now >= next_report:
                next_report = now + _REPORT_S
                self._flush()

    def _sweep(self, now: float) -> None:
        # All have the same time-out, so the oldest run out of it first.
        running, limit = self._running, now - self.setup.timeout_s
        while running and (running[0].over or running[0].due <= limit):
            request = running.popleft()
            if not request.over:
                what = "no whole answer" if request.sent is not None else "no connection"
                if request.queued:
                    what = f"{LOCAL}no file left for a connection"
                self._drop(request, "timeout", f"{what} in {self.setup.timeout_s:g} s")

    def _flush(self) -> None:
        records, self._records = self._records, []
        self._report.send(Progress(records, self._begun, self._in_flight, self._overdue()))

    def _overdue(self) -> int:
        """How many requests under way are late already, whatever comes of them."""
        setup, now = self.setup, time.monotonic()
        limits = [limit for limit in (setup.first_token_by_s, setup.end_by_s) if limit is not None]
        if not limits:
            return 0
        late = 0
        for request in self._running:  # the oldest first
            age = now - request.due
            if age <= min(limits):
                break
            if request.over or request.due - self._start < setup.overdue_from_s:
                continue
            no_token = request.answer.first_at is None
            late += (setup.end_by_s is not None and age > setup.end_by_s) or (
                no_token and setup.first_token_by_s is not None and age > setup.first_token_by_s
            )
        return late


def _file_limit() -> int:
    """Raise the limit of open files as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1_048_576
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return min(soft, 65_536)


def reason(error: OSError) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
