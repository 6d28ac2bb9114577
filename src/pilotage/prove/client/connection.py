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
    """

    __slots__ = ("_closed", "_exchange", "_parser", "_transport", "_untouched", "now", "used")

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed
        self.used = 0
        self.now = 0.0
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._untouched = True

    @property
    def open(self) -> bool:
        """Whether it can carry another exchange."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, exchange: Exchange) -> None:
        """Send a request; ``exchange`` is told what comes of it."""
        assert self._transport is not None
        self._exchange = exchange
        self._untouched = True
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
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._exchange is exchange:
                self._give_up(f"not HTTP: {error}", garbage=True)
            else:
                self.abort()  # bytes after the answer's end
            return
        if self._exchange is exchange and exchange.answer.hopeless:
            self._exchange = None
            self.abort()
            exchange.answered(self, reusable=False)

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
        if self._exchange is not None:
            self._exchange.answer.header(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Take the status, unless it is an interim one (100 Continue)."""
        status = self._parser.get_status_code()
        if self._exchange is not None and status >= 200:
            self._exchange.answer.begin(status)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._exchange is not None:
            self._exchange.answer.body(body, self.now)

    def on_message_complete(self) -> None:
        """End the exchange."""
        exchange = self._exchange
        if exchange is None or exchange.answer.status is None:
            return
        self._exchange = None
        exchange.answered(self, reusable=self._parser.should_keep_alive())

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
    _, connection = await loop.create_connection(
        lambda: Connection(closed), host, port, ssl=tls, server_hostname=host if tls else None
    )
    return connection
