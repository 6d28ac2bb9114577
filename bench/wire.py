"""Just enough HTTP/1.1 and server-sent events to load a server without becoming the bottleneck.

A general client spends more CPU on a token than the server does. This one hands each network
read to a small parser in place: no task switch, no object a header, one JSON decode a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Literal

import msgspec

_READ_TO_CLOSE = -1


class Delta(msgspec.Struct):
    """Content of a chat message or of a piece of one."""

    content: str | None = None


class Choice(msgspec.Struct):
    """The parts of an OpenAI choice that a load client looks at, streamed or not."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def content(self) -> str:
        """Its text, wherever the endpoint puts it."""
        part = self.delta or self.message
        return (part.content if part is not None else self.text) or ""


class Usage(msgspec.Struct):
    """Token counts as the server gives them."""

    completion_tokens: int = 0


class Answer(msgspec.Struct):
    """A chunk of a stream, or a whole answer."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    text: str | None = None


_answers = msgspec.json.Decoder(Answer)


class Exchange:
    """One request's answer as it arrives.

    Attributes:
        status: HTTP status; None before the header has arrived.
        headers: Response headers by lower-case name.
        first_byte: Clock reading at the first byte of the answer, in seconds.
        chunk_times: Clock readings at each piece of content, in seconds.
        usage_tokens: Completion tokens as the server said; None if it did not.
        done: Resolves when the answer is whole; fails with ConnectionError if it breaks off.
    """

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.first_byte: float | None = None
        self.chunk_times: list[float] = []
        self.texts: list[str] = []
        self.usage_tokens: int | None = None
        self.finish_reason: str | None = None
        self.error: str | None = None
        self.saw_done_mark = False
        self.done = done
        self._streamed = False
        self._partial = b""

    @property
    def streamed(self) -> bool:
        """Whether the answer is an event stream."""
        return self._streamed

    def begin(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Take the response header."""
        self.status = status
        self.headers = headers
        self._streamed = headers.get(b"content-type", b"").startswith(b"text/event-stream")

    def body(self, data: bytes, now: float) -> None:
        """Take a piece of the body that arrived at `now`."""
        if not self._streamed:
            self._partial += data
            return
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip(), now)

    def finish(self) -> None:
        """The body is whole."""
        if not self._streamed and self._partial:
            self._whole(self._partial)
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        """The connection ended before the answer did."""
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))

    def _event(self, data: bytes, now: float) -> None:
        if data == b"[DONE]":
            self.saw_done_mark = True
            return
        try:
            answer = _answers.decode(data)
        except msgspec.MsgspecError as error:
            self.error = f"an event that is not JSON of the expected shape: {error}"
            return
        self._note(answer)
        content = "".join(choice.content for choice in answer.choices)
        if content:
            self.chunk_times.append(now)
            self.texts.append(content)

    def _whole(self, data: bytes) -> None:
        try:
            answer = _answers.decode(data)
        except msgspec.MsgspecError:
            self.error = data[:200].decode("utf-8", "replace")
            return
        self._note(answer)
        content = answer.text or "".join(choice.content for choice in answer.choices)
        if content and self.first_byte is not None:
            self.chunk_times.append(self.first_byte)
            self.texts.append(content)

    def _note(self, answer: Answer) -> None:
        if answer.error is not None:
            self.error = msgspec.json.encode(answer.error).decode()
        if answer.usage is not None:
            self.usage_tokens = answer.usage.completion_tokens
        for choice in answer.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one exchange at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reusable = True
        self.exchanges = 0
        self._exchange: Exchange | None = None
        self._buffer = b""
        self._state: Literal["head", "length", "size", "chunk", "trailer"] = "head"
        self._left = 0

    def send(self, request: bytes, exchange: Exchange) -> None:
        """Send a whole request; `exchange` receives the answer.

        Raises:
            ConnectionError: The server has closed the connection meanwhile.
        """
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the kept connection was closed")
        self._exchange = exchange
        self._state = "head"
        self.exchanges += 1
        self.transport.write(request)

    def abort(self) -> None:
        """Drop the connection at once, as a client that went away does."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: whole if the body was delimited by the close, else broken."""
        self.reusable = False
        self.transport = None
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exc is None and self._state == "length" and self._left == _READ_TO_CLOSE:
            exchange.finish()
        else:
            exchange.fail(str(exc) if exc else "the connection closed before the answer's end")

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        now = time.perf_counter()
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        if exchange.first_byte is None:
            exchange.first_byte = now
        try:
            self._parse(self._buffer + data if self._buffer else data, exchange, now)
        except (ValueError, IndexError) as error:
            self._exchange = None
            self.abort()
            exchange.fail(f"not HTTP: {error}")

    def _parse(self, data: bytes, exchange: Exchange, now: float) -> None:
        at = 0
        while self._exchange is exchange:
            if self._state in {"head", "size", "trailer"}:
                mark = b"\r\n\r\n" if self._state == "head" else b"\r\n"
                end = data.find(mark, at)
                if end < 0:
                    break
                self._line(data[at:end], exchange)
                at = end + len(mark)
            elif self._state == "chunk":
                if len(data) - at < self._left + 2:
                    break
                exchange.body(data[at : at + self._left], now)
                at += self._left + 2
                self._state = "size"
            else:
                piece = data[at:] if self._left < 0 else data[at : at + self._left]
                if not piece:
                    break
                at += len(piece)
                exchange.body(piece, now)
                if self._left > 0:
                    self._left -= len(piece)
                    if self._left == 0:
                        self._end(exchange)
        self._buffer = data[at:]

    def _line(self, line: bytes, exchange: Exchange) -> None:
        if self._state == "head":
            self._head(line, exchange)
        elif self._state == "size":
            self._left = int(line.split(b";", 1)[0], 16)
            self._state = "chunk" if self._left else "trailer"
        elif not line:
            self._end(exchange)

    def _head(self, head: bytes, exchange: Exchange) -> None:
        first, *lines = head.split(b"\r\n")
        status = int(first.split(b" ", 2)[1])
        if 100 <= status < 200:
            return
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        if headers.get(b"connection", b"").lower() == b"close":
            self.reusable = False
        exchange.begin(status, headers)
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            self._state = "size"
            return
        self._state = "length"
        self._left = int(headers.get(b"content-length", _READ_TO_CLOSE))
        if self._left == 0:
            self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        self._exchange = None
        self._state = "head"
        exchange.finish()


class Pool:
    """Connections to one server, opened as needed and kept for the next request."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[Connection] = []

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection that carries nothing; a new one if `fresh` or none is kept.

        Raises:
            OSError: The server does not accept one.
        """
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection

    def release(self, connection: Connection) -> None:
        """Keep the connection for the next request, if it still can carry one."""
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close what is kept."""
        for connection in self._idle:
            with contextlib.suppress(OSError):
                connection.abort()
        self._idle.clear()
