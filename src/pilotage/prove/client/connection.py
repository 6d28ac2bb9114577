"""HTTP/1.1 connections that cost a load generator as little as possible.

The parser is httptools (llhttp in C), fed where bytes arrive: no task, no stream object and no
dictionary of headers a request. A general client spends more CPU on a token than a server does.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Protocol

import httptools

from pilotage.prove.client.answer import Answer, printable

MAX_HEAD = 1024 * 1024
"""Bytes without a byte of content (headers, interim answers, trailers) that are read in a row."""


class Exchange(Protocol):
    """A request under way, as a connection sees it."""

    answer: Answer

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """The answer is whole."""
        ...

    def failed(self, connection: Connection, why: str, *, garbage: bool, untouched: bool) -> None:
        """The connection ended before the answer did.

        Args:
            connection: Which is closed now.
            why: What happened.
            garbage: What arrived is not HTTP.
            untouched: Not a byte arrived for this request.
        """
        ...


class Connection(asyncio.Protocol):
    """One connection, which carries one exchange at a time.

    Args:
        closed: Called once when it is gone.

    Attributes:
        used: Exchanges it has begun.
        now: Clock reading at the last bytes that arrived.
        took_s: Seconds that it took to open: a round trip or more.
    """

    __slots__ = (
        "_bare",
        "_closed",
        "_exchange",
        "_keep",
        "_parser",
        "_transport",
        "_untouched",
        "_whole",
        "now",
        "took_s",
        "used",
    )

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed
        self.used = 0
        self.now = 0.0
        self.took_s = 0.0
        self._bare = 0
        self._whole = False
        self._keep = False
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._untouched = True

    @property
    def open(self) -> bool:
        """Whether it can carry another exchange."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes | memoryview, exchange: Exchange) -> None:
        """Send a request; ``exchange`` is told what comes of it."""
        assert self._transport is not None
        self._exchange = exchange
        self._untouched = True
        self._bare = 0
        self.used += 1
        self._transport.writelines((head, body))

    def abort(self) -> None:
        """Drop the connection at once, as a client that has left does; nobody is told."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, noting when."""
        self.now = time.monotonic()
        exchange = self._exchange
        if exchange is None:
            self.abort()  # an answer that nobody asked for
            return
        self._untouched = False
        self._bare += len(data)
        why = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            why = f"not HTTP: {error}"
        if self._whole:
            self._finish(clean=why is None)
        elif why is not None:
            self._give_up(why, garbage=True)
        elif exchange.answer.hopeless:
            self._exchange = None
            self.abort()
            exchange.answered(self, reusable=False)
        elif self._bare > MAX_HEAD:
            self._give_up(f"more than {MAX_HEAD >> 20} MiB of headers", garbage=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: whole if the close was what delimited its body, else broken."""
        self._transport = None
        self._closed()
        if self._exchange is None:
            return
        answer = self._exchange.answer
        if exc is None and answer.until_close:
            exchange, self._exchange = self._exchange, None
            exchange.answered(self, reusable=False)
        else:
            reason = str(exc) if exc else "the connection closed before the answer's end"
            self._give_up(reason, garbage=False)

    # httptools' side

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        if self._exchange is not None and not self._whole:
            self._exchange.answer.header(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Take the status, unless it is an interim one (100 Continue)."""
        status = self._parser.get_status_code()
        if self._exchange is not None and not self._whole and status >= 200:
            self._exchange.answer.begin(status)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._bare = 0
        if self._exchange is not None and not self._whole:
            self._exchange.answer.body(body, self.now)

    def on_message_begin(self) -> None:
        """See bytes after the answer's end: what they belong to, nobody knows."""
        if self._whole:
            self._keep = False

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it is an interim one."""
        exchange = self._exchange
        if exchange is None or exchange.answer.status is None or self._whole:
            return
        self._whole = True
        self._keep = self._parser.should_keep_alive()

    def _finish(self, *, clean: bool) -> None:
        """End the exchange. Not before all that arrived is parsed: the next request may go out."""
        exchange, self._exchange, self._whole = self._exchange, None, False
        assert exchange is not None
        # An answer may come before the request is sent (413 to a large body): what is left of
        # that would hold up the next request.
        sent = self._transport is not None and not self._transport.get_write_buffer_size()
        exchange.answered(self, reusable=clean and self._keep and sent)

    def _give_up(self, why: str, *, garbage: bool) -> None:
        exchange, self._exchange = self._exchange, None
        self.abort()
        if exchange is not None:
            exchange.failed(self, printable(why), garbage=garbage, untouched=self._untouched)


async def connect(
    host: str, port: int, tls: ssl.SSLContext | None, closed: Callable[[], None]
) -> Connection:
    """A new connection, which calls ``closed`` when it is gone.

    Raises:
        OSError: There is none to be had; ``ssl.SSLError`` among them.
    """
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    _, connection = await loop.create_connection(
        lambda: Connection(closed), host, port, ssl=tls, server_hostname=host if tls else None
    )
    connection.took_s = time.monotonic() - began
    return connection
