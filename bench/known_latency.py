"""A server whose latency is known: what load generators are measured against.

``python -m bench.known_latency PORT`` speaks enough of OpenAI's API for every load generator here
(``/v1/models``, ``/health``, chat and text completions, streamed or not, with usage). What it does
is set while it runs, and what it saw can be read back:

- ``POST /control`` with a `Behaviour` as JSON: behave so from now on, and forget what was seen.
- ``GET /seen``: a `Seen`, one entry a completion since then, in the order of arrival.

It is one process, one uvloop and a parser in C, so that it takes several times what one core can
send. Answers leave at their time by a timerfd of the kernel: the timers of uvloop count whole
milliseconds. Times are CLOCK_MONOTONIC, which all processes of a Linux machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import math
import os
import random
import signal
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import httptools
import msgspec
import uvloop

from bench.known_answers import MODEL, Pieces, json_answer


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are answered.

    Attributes:
        kind: ``fixed``: after ``latency_s``. ``log_normal``: after a seeded draw whose median is
            ``latency_s``. ``stall``: after ``latency_s``, but no answer begins to leave in
            the last ``stall_s`` of every ``every_s`` seconds, and what arrives then is begun at
            the stall's end.
        latency_s: Seconds from a request's arrival to the first byte of its answer.
        sigma: Standard deviation of the logarithm, of ``log_normal``.
        seed: Of the draws.
        stall_s: Length of a stall.
        every_s: From the start of one stall to the next.
        chunks: Tokens of an answer, one event of a stream each.
        gap_s: Seconds between them; 0 for all in one write. Of no account to stalls, which hold
            back first bytes only.
    """

    kind: Literal["fixed", "log_normal", "stall"] = "fixed"
    latency_s: float = 0.0
    sigma: float = 0.6
    seed: int = 1
    stall_s: float = 1.0
    every_s: float = 10.0
    chunks: int = 1
    gap_s: float = 0.0


class Seen(msgspec.Struct, frozen=True):
    """What the server saw since it was last told how to behave.

    Attributes:
        began_s: When that was, on the machine's monotonic clock; stalls are counted from here.
        arrived_s: When each request had been read, ascending.
        due_s: When the first byte of its answer was due: the truth.
        answered_s: When it was written; 0 if it was not.
        busy_s: CPU seconds that the server has used since.
    """

    began_s: float
    arrived_s: list[float]
    due_s: list[float]
    answered_s: list[float]
    busy_s: float


def due(behaviour: Behaviour, began_s: float, arrived_s: float, draw: random.Random) -> float:
    """When the answer to a request that arrives at ``arrived_s`` is due."""
    if behaviour.kind == "log_normal":
        return arrived_s + behaviour.latency_s * math.exp(behaviour.sigma * draw.gauss(0.0, 1.0))
    at = arrived_s + behaviour.latency_s
    if behaviour.kind == "stall":
        every, stall = behaviour.every_s, behaviour.stall_s
        # Seconds since the last stall ended, at the arrival and at the answer.
        since = (arrived_s - began_s) % every
        if since >= every - stall:
            return arrived_s - since + every + behaviour.latency_s
        if since + behaviour.latency_s >= every - stall:
            return arrived_s - since + every
    return at


class _Timer:
    """Calls back at a point in time, to the hundredth of a millisecond or so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._set = libc.timerfd_settime
        self._fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._spec = (ctypes.c_long * 4)()  # interval, then the time: seconds, nanoseconds
        self._callback = callback
        loop.add_reader(self._fd, self._fired)

    def at(self, moment_s: float) -> None:
        """Call back then, and not at the time set before."""
        nanoseconds = max(int(moment_s * 1e9), 1)
        self._spec[2], self._spec[3] = divmod(nanoseconds, 1_000_000_000)
        self._set(self._fd, 1, self._spec, None)  # 1: TFD_TIMER_ABSTIME

    def _fired(self) -> None:
        # Set anew between its firing and this: nothing to read, and the callback looks itself.
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._callback()


class _Log:
    """The arrays behind `Seen`."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()
        self.cpu_s = time.process_time()
        self.arrived, self.due, self.answered = array("d"), array("d"), array("d")

    def seen(self) -> Seen:
        return Seen(
            self.began_s,
            self.arrived.tolist(),
            self.due.tolist(),
            self.answered.tolist(),
            time.process_time() - self.cpu_s,
        )


@dataclass(slots=True)
class _Answer:
    """An answer that waits; ``left`` of its parts have left."""

    transport: asyncio.Transport
    parts: tuple[bytes, ...]
    gap_s: float
    log: _Log
    place: int
    left: int = 0


class _Server:
    """What all connections share: the behaviour, the log, and the answers that wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = _Timer(loop, self._answer_due)
        self._waiting: list[tuple[float, int, _Answer]] = []
        self._order = 0
        self.behave(Behaviour())

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on."""
        self.log = _Log()
        self._behaviour = behaviour
        self._draw = random.Random(behaviour.seed)
        self._chat, self._text = (
            Pieces(behaviour.chunks, together=behaviour.gap_s == 0, chat=chat)
            for chat in (True, False)
        )

    def complete(self, transport: asyncio.Transport, body: bytes, *, chat: bool) -> None:
        """Take a request and answer it in time."""
        now = time.monotonic()
        log, behaviour = self.log, self._behaviour
        at = due(behaviour, log.began_s, now, self._draw) if behaviour.latency_s else now
        place = len(log.arrived)
        log.arrived.append(now)
        log.due.append(at)
        pieces = self._chat if chat else self._text
        if b'"stream":true' in body or b'"stream": true' in body:
            parts = pieces.stream_with_usage if b'"include_usage"' in body else pieces.stream
        else:
            parts = pieces.whole
        if at <= now and len(parts) == 1:
            log.answered.append(now)
            transport.write(parts[0])
            return
        log.answered.append(0.0)
        self._wait(at, _Answer(transport, parts, behaviour.gap_s, log, place))

    def _wait(self, at: float, answer: _Answer) -> None:
        first = self._waiting[0][0] if self._waiting else math.inf
        self._order += 1
        heapq.heappush(self._waiting, (at, self._order, answer))
        if at < first:
            self._timer.at(at)

    def _answer_due(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= time.monotonic():
            at, _, answer = heapq.heappop(waiting)
            if answer.transport.is_closing():
                continue
            if answer.left == 0:
                answer.log.answered[answer.place] = time.monotonic()
            answer.transport.write(answer.parts[answer.left])
            answer.left += 1
            if answer.left < len(answer.parts):
                self._wait(at + answer.gap_s, answer)
        if waiting:
            self._timer.at(waiting[0][0])


class _Connection(asyncio.Protocol):
    """One client. The parser calls the ``on_…`` methods."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        url, body = self._url, self._body
        self._body = b""
        server, write = self._server, self._transport.write
        if url.endswith(b"/completions"):
            server.complete(self._transport, body, chat=b"/chat/" in url)
        elif url.endswith(b"/models"):
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "bench"}
            write(json_answer({"object": "list", "data": [model]}))
        elif url == b"/control":
            server.behave(msgspec.json.decode(body, type=Behaviour))
            write(json_answer({}))
        elif url == b"/seen":
            write(json_answer(server.log.seen()))
        elif url in {b"/health", b"/"}:
            write(json_answer({"status": "ok"}))
        else:
            write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve on the loopback address until SIGTERM."""
    loop = asyncio.get_running_loop()
    shared = _Server(loop)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: _Connection(shared), "127.0.0.1", port, backlog=4096)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
