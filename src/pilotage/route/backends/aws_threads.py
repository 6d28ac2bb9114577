"""Answers that boto3 reads in threads, brought to the event loop.

One thread an answer, for as long as it lasts, not one a token. The thread appends to a queue and
wakes the loop only when the queue was empty: a fast answer costs few switches. A reader that falls
behind stops the thread, and so the provider; one that goes away ends the connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, Final

from pilotage.route.answer import Chunk
from pilotage.route.backends.backend import BackendError, Fault

_AHEAD: Final = 256
"""Chunks that may wait to be taken."""


class OpenAnswer:
    """The connection that an answer is read from, to be ended from another thread."""

    def __init__(self) -> None:
        self.whole = False
        """Set where the answer comes at once: its first token is its last."""
        self._lock = threading.Lock()
        self._raw: Any = None
        self._over = False

    def hold(self, stream: Any, *, silence_s: float) -> None:
        """Remember where it is read from: a botocore ``EventStream`` or ``StreamingBody``.

        Args:
            stream: As boto3 gave it.
            silence_s: Longest wait for the next bytes from now on, seconds.

        Raises:
            Abandoned: Nobody wants the answer any more; it is closed.
        """
        raw = getattr(stream, "_raw_stream", None)
        # None where the server closes after this answer: then the first wait's limit stays.
        sock = getattr(getattr(raw, "connection", None), "sock", None)
        if sock is not None:
            sock.settimeout(silence_s)
        with self._lock:
            self._raw = raw
            over = self._over
        if over:
            stream.close()
            raise Abandoned

    def abandon(self) -> None:
        """Wake the thread that reads; it then closes the connection. From any thread."""
        with self._lock:
            self._over = True
            raw = self._raw
        # Closing here would wait for the reader; the socket's end wakes it. urllib3 raises these
        # where the answer has just come to its end, or is too old to know `shutdown`.
        with suppress(AttributeError, OSError, RuntimeError, ValueError):
            raw.shutdown()

    @property
    def abandoned(self) -> bool:
        """Whether nobody wants it any more."""
        return self._over


class Abandoned(Exception):
    """Ends a thread whose answer nobody wants."""


Reader = Callable[[OpenAnswer], Generator[Chunk, None, None]]
"""Asks, and yields the answer; in a thread."""


class AnswerThreads:
    """Threads for the answers of one backend.

    Args:
        name: The backend's.
        limit: Most threads; they are started as they are needed.
        timeout_s: Longest time for an answer.
        first_token_timeout_s: Longest wait for its first token.
    """

    def __init__(
        self, name: str, *, limit: int, timeout_s: float, first_token_timeout_s: float
    ) -> None:
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix=f"route {name}")
        self._feeds: set[_Feed] = set()
        self._timeout_s = timeout_s
        self._first_token_timeout_s = first_token_timeout_s

    async def chunks(self, read: Reader, *, deadline: float) -> AsyncGenerator[Chunk, None]:
        """What ``read`` yields, in a thread, in time.

        Args:
            read: Registers its connection with what it is given.
            deadline: On `time.monotonic`'s clock.

        Raises:
            BackendError: What ``read`` raises, or a time-out.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        last = min(began + self._timeout_s, deadline)
        first = min(began + self._first_token_timeout_s, last)
        feed = _Feed(loop)
        try:
            self._pool.submit(feed.run, read)
        except RuntimeError:
            raise _closed() from None
        begun = ended = False
        self._feeds.add(feed)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(last if begun or feed.answer.whole else first):
                        chunks = await feed.take()
                except TimeoutError:
                    if feed.answer.whole and loop.time() < last:
                        continue  # it turned out to while we waited for the first token
                    raise self._late(feed, begun=begun) from None
                if not chunks:
                    return
                for chunk in chunks:
                    begun = begun or bool(chunk.text or chunk.reasoning or chunk.tool_calls)
                    # What is left then is the connection's end: the thread sees to it.
                    ended = ended or chunk.finish_reason is not None
                    yield chunk
                if ended:
                    return
        finally:
            self._feeds.discard(feed)
            if not ended:
                feed.abandon()

    def close(self) -> None:
        """End the answers that are being read, and take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for feed in self._feeds:
            feed.abandon()

    def _late(self, feed: _Feed, *, begun: bool) -> BackendError:
        if not feed.started:
            return BackendError(Fault.OVERLOADED, "no thread became free in time")
        if begun or feed.answer.whole:
            return BackendError(Fault.TIMEOUT, f"no end after {self._timeout_s:g} s")
        return BackendError(
            Fault.TIMEOUT, f"no first token after {self._first_token_timeout_s:g} s"
        )


class _Feed:
    """Chunks on their way from a thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started = False
        self._loop = loop
        self.answer = OpenAnswer()
        self._room = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None

    def run(self, read: Reader) -> None:
        """In the thread: read to the end."""
        self.started = True
        error: BaseException | None = None
        try:
            if not self.answer.abandoned:
                with closing(read(self.answer)) as chunks:
                    for chunk in chunks:
                        self._put(chunk)
        except BaseException as raised:  # noqa: BLE001 - raised again by `take`, in the loop
            error = raised
        if self.answer.abandoned:
            # Reading a connection that we ended fails in many ways. Who took the chunks has gone,
            # and sees this only if the whole backend was closed.
            error = _closed()
        with self._room:
            self._over, self._error = True, error
        self._wake()

    async def take(self) -> list[Chunk]:
        """In the loop: what has come since; nothing at the end.

        Raises:
            BackendError: The answer failed, and all before it has been taken.
        """
        while True:
            await self._news.wait()
            with self._room:
                self._news.clear()
                chunks = list(self._chunks)
                self._chunks.clear()
                over, error = self._over, self._error
                self._room.notify()
                if over:
                    self._news.set()
            if not chunks and error is not None:
                raise error
            if chunks or over:
                return chunks

    def abandon(self) -> None:
        """In the loop: nobody wants more."""
        with self._room:
            if self._over:
                return
            self.answer.abandon()
            self._room.notify()

    def _put(self, chunk: Chunk) -> None:
        with self._room:
            while len(self._chunks) >= _AHEAD and not self.answer.abandoned:
                self._room.wait()
            if self.answer.abandoned:
                raise Abandoned
            self._chunks.append(chunk)
            first = len(self._chunks) == 1
        if first:
            self._wake()

    def _wake(self) -> None:
        # RuntimeError: the loop is closed, and with it whoever asked.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)


def _closed() -> BackendError:
    return BackendError(Fault.UNREACHABLE, "the backend is closed")
