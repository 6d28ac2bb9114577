"""A 200 answer as it comes, for clients that want it as it is."""

from __future__ import annotations

from pilotage.route.answer import Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.raw_events import RawEvents, RawWhole
from pilotage.route.backends.reply import Reply
from pilotage.route.backends.whole_as_events import whole_as_events


class RawAnswer:
    """An async iterator of a body's bytes, in pieces of whole events.

    The iteration raises `BackendError` where the answer breaks off.

    Args:
        reply: Its head has come.
        hide_usage: Whether the event that only tells usage is left out.
        stream: Whether it is a stream of events.
        wanted_stream: Whether it was asked for one. A whole answer is then made into events,
            because the client reads nothing else.

    Attributes:
        status: Of HTTP, always 200.
        headers: Of the answer, names in lower case.
    """

    __slots__ = (
        "_events",
        "_first",
        "_hide_usage",
        "_over",
        "_reply",
        "_wanted_stream",
        "_whole",
        "headers",
        "status",
    )

    def __init__(
        self, reply: Reply, *, hide_usage: bool, stream: bool, wanted_stream: bool
    ) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply
        self._hide_usage = hide_usage
        self._wanted_stream = wanted_stream
        self._events = RawEvents(hide_usage=hide_usage) if stream else None
        self._whole: RawWhole | None = None
        self._first: bytes | None = None
        self._over = False

    @property
    def usage(self) -> Usage | None:
        """What the server says it used so far, if that can be true."""
        known = self._events or self._whole
        return None if known is None else known.usage

    @property
    def model(self) -> str | None:
        """What the server says it is."""
        known = self._events or self._whole
        return None if known is None else known.model

    @property
    def tokens(self) -> int:
        """About how many tokens came so far, for where usage is missing."""
        known = self._events or self._whole
        return 0 if known is None else known.tokens

    @property
    def finished(self) -> bool:
        """Whether the answer is whole, as far as its reader has got."""
        return self._whole is not None if self._events is None else self._events.finished

    async def begin(self) -> None:
        """Wait for the first event, or all of an answer that is no stream.

        Raises:
            BackendError: It does not come, or is an error.
        """
        if self._events is None:
            body = await self._reply.whole()
            self._whole = RawWhole(body)
            if self._wanted_stream:
                body = whole_as_events(body, hide_usage=self._hide_usage)
            self._first = body
            self._over = True
        else:
            self._first = await self._next(self._events)

    def __aiter__(self) -> RawAnswer:
        return self

    async def __anext__(self) -> bytes:
        first = self._first
        if first is not None:
            self._first = None
            if first:
                return first
        if self._over or self._events is None:
            raise StopAsyncIteration
        data = await self._next(self._events)
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Want no more of it; the server is told by the connection's end."""
        self._over = True
        if self._events is not None and self._events.done:
            self._reply.let_go()
        else:
            self._reply.close()

    async def _next(self, events: RawEvents) -> bytes:
        """More to pass on; nothing at the end."""
        while not events.done:
            if events.error is not None:
                raise events.error
            try:
                data = await self._reply.read()
            except BackendError:
                if events.finished:
                    break  # the answer is whole; what is missing is usage and [DONE]
                raise
            if data:
                if passed := events.feed(data):
                    return passed
                continue
            if rest := events.end():
                return rest
            if events.error is not None:
                raise events.error
            if not events.finished:
                raise BackendError(Fault.CUT, "the answer ended without a finish reason")
            break
        await self.aclose()
        return b""
