"""HTTP/1.1 connections that cost a gateway as little as possible.

The parser is httptools (llhttp in C), fed where bytes arrive: no task and no stream object a
request. A general client costs about a millisecond of CPU a request, several times what the rest
of the gateway does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import httptools

from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.reply import Reply

_MAX_BARE: Final = 256 << 10
"""Bytes without a byte of content (headers, interim answers, trailers) that are read in a row."""

_MAX_DRAINED: Final = 64 << 10
_LONGEST_DRAIN_S: Final = 1.0
_COPIED: Final = 64 << 10


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time.

    Args:
        loop: The running event loop.
        free: Called when it can carry another request.
        gone: Called once, when it is closed.

    Attributes:
        used: Requests it has begun.
        idle_since: Clock reading of the event loop when it last became free.
    """

    __slots__ = (
        "_bare",
        "_drained",
        "_drainer",
        "_free",
        "_gone",
        "_keep",
        "_loop",
        "_parser",
        "_reply",
        "_transport",
        "_whole",
        "idle_since",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        free: Callable[[Connection], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self.used = 0
        self.idle_since = 0.0
        self._loop = loop
        self._free = free
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reply: Reply | None = None
        self._bare = 0
        self._drained = -1  # -1: somebody reads
        self._drainer: asyncio.TimerHandle | None = None
        self._whole = False
        self._keep = False

    @property
    def open(self) -> bool:
        """Whether it is there and not being closed."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes) -> Reply:
        """Send a request; what comes back will be in the reply."""
        assert self._transport is not None
        reply = self._reply = Reply(self, self._loop)
        self._bare = 0
        self._drained = -1
        self.used += 1
        if len(body) <= _COPIED:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        return reply

    # The reply's side

    def pause(self) -> None:
        """See `Wire`."""
        if self.open and self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Wire`."""
        if self.open and self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """See `Wire`. Nobody is told but the pool."""
        self._reply = None
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """Close at once; whoever reads is told."""
        reply = self._reply
        if reply is not None:
            fault = Fault.UNREACHABLE if reply.untouched else Fault.CUT
            reply.fail(BackendError(fault, "the backend is being closed"))
        self.abort()

    def drain(self) -> None:
        """See `Wire`. After ``[DONE]`` only the end of the chunked body is missing."""
        self._drained = 0
        self._drainer = self._loop.call_later(_LONGEST_DRAIN_S, self.abort)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, then wake the reader once."""
        reply = self._reply
        if reply is None:
            self.abort()  # an answer that nobody asked for
            return
        reply.untouched = False
        self._bare += len(data)
        why = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            why = "the answer is not HTTP"
        if self._whole:
            self._finish(reply, clean=why is None)
        elif why is None and self._bare > _MAX_BARE:
            why = "the answer's headers are too long"
        if why is not None and not reply.over:
            reply.fail(BackendError(Fault.GARBAGE, why))
            self.abort()
        elif reply.over and self._reply is not None and self._drained < 0:
            self.abort()  # too long, or given up
        reply.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer: whole if the close was what delimited its body, else broken."""
        self._transport = None
        if self._drainer is not None:
            self._drainer.cancel()
        reply, self._reply = self._reply, None
        self._gone(self)
        if reply is None or reply.over:
            return
        if exc is None and reply.status and not reply.sized:
            reply.end()
            reply.wake()
            return
        reply.fail(
            BackendError(Fault.UNREACHABLE, "the connection ended before the answer began")
            if reply.untouched
            else BackendError(Fault.CUT, "the connection ended before the answer did")
        )

    # httptools' side

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        if self._reply is not None and not self._whole:
            self._reply.header(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Take the status, unless it is an interim one (100 Continue)."""
        if self._reply is None or self._whole:
            return
        status = self._parser.get_status_code()
        if status >= 200:
            self._reply.status = status
        else:
            self._reply.forget_head()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._bare = 0
        reply = self._reply
        if reply is None or self._whole:
            return
        if self._drained < 0:
            reply.body(body)
            return
        self._drained += len(body)
        if self._drained > _MAX_DRAINED:
            self.abort()

    def on_message_begin(self) -> None:
        """See bytes after the answer's end: what they belong to, nobody knows."""
        if self._whole:
            self._keep = False

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it is an interim one."""
        if self._reply is None or not self._reply.status or self._whole:
            return
        self._whole = True
        self._keep = self._parser.should_keep_alive()

    def _finish(self, reply: Reply, *, clean: bool) -> None:
        """End the answer. Not before all that arrived is parsed: the next request may go out."""
        self._whole = False
        self._reply = None
        if self._drainer is not None:
            self._drainer.cancel()
            self._drainer = None
        if not reply.over:
            reply.end()
        # An answer may come before the request is sent (413 to a large body): what is left of
        # that would hold up the next request.
        transport = self._transport
        sent = transport is not None and not transport.get_write_buffer_size()
        if clean and self._keep and sent and transport is not None:
            transport.resume_reading()
            self.idle_since = self._loop.time()
            self._free(self)
        else:
            self.abort()


async def connect(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    free: Callable[[Connection], None],
    gone: Callable[[Connection], None],
) -> Connection:
    """A new connection.

    Raises:
        OSError: There is none to be had; ``ssl.SSLError`` among them.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(loop, free, gone),
        host,
        port,
        ssl=tls,
        server_hostname=host if tls else None,
    )
    return connection
