"""One request and its answer before the run: bounded in time and bytes whatever the server does.

It goes over the run's own connection and is read by the run's own parser, so that what passes here
passes there.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

from pilotage.errors import TargetError
from pilotage.prove.client.answer import Answer, printable
from pilotage.prove.client.connection import Connection
from pilotage.prove.payload import Payload
from pilotage.prove.record import Outcome
from pilotage.prove.target.endpoint import Endpoint

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Bytes of an answer that are read. The requests here ask for a few tokens."""

_CONNECT_S: Final = 5.0
_CHECK_LOG = "See the server's log: did it crash on the request?"
_CHECK_ADDRESS = "Is this the address of an OpenAI-compatible server?"


class NoReplyError(TargetError):
    """No whole HTTP answer came; ``outcome`` says how, in the words of `Record`."""

    def __init__(self, outcome: Outcome, message: str, *, where: str, hint: str) -> None:
        super().__init__(message, where=where, hint=hint)
        self.outcome: Outcome = outcome


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer.

    Attributes:
        url: What was asked.
        status: HTTP status.
        headers: Its headers, their names in lower case.
        body: Its body, as it was sent.
        answer: What the run's parser made of it.
        outcome: How it ended, in the run's words.
        why: What went wrong, if anything: one printable line.
        expects_stream: Whether a stream was asked for.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    answer: Answer
    outcome: Outcome
    why: str | None
    expects_stream: bool

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of server-sent events."""
        return self._media_type == "text/event-stream"

    @property
    def is_web_page(self) -> bool:
        """Whether it is meant for a browser."""
        return self._media_type == "text/html"

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Session:
    """Requests to one endpoint that share a time limit.

    It connects as the run does: directly, without the environment's proxies; and it never follows
    a redirect. Each request has a connection of its own, as one that the server has just closed
    would look like a failure.

    Args:
        endpoint: Whom to ask.
        timeout_s: Seconds that all its requests together may take; waits in between, by `pause`,
            are not counted.

    Attributes:
        paused_s: Seconds that were waited in `pause`.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._began = time.monotonic()
        self._tls = ssl.create_default_context() if endpoint.tls else None
        self.paused_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that are left for requests."""
        return max(0.0, self._timeout_s - (time.monotonic() - self._began - self.paused_s))

    async def pause(self, seconds: float) -> None:
        """Wait without using up the time limit."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        self.paused_s += time.monotonic() - began

    async def models(self) -> Reply:
        """The server's list of models.

        Raises:
            NoReplyError: There is no whole answer.
        """
        head = self._endpoint.head_for("GET", self._endpoint.models_path)
        exchange = _Exchange(self._endpoint.models_url)
        return await self._ask(exchange, head + b"\r\n", b"", expects_stream=False)

    async def post(self, payload: Payload) -> Reply:
        """The answer to a request at the endpoint.

        Raises:
            NoReplyError: There is no whole answer.
        """
        body = (
            f"Content-Type: {payload.content_type}\r\nContent-Length: {len(payload.body)}\r\n\r\n"
        )
        head = self._endpoint.head + body.encode()
        exchange = _Exchange(self._endpoint.post_url)
        return await self._ask(exchange, head, payload.body, expects_stream=payload.stream)

    async def _ask(
        self, exchange: _Exchange, head: bytes, body: bytes, *, expects_stream: bool
    ) -> Reply:
        connection = await self._connect(exchange.url)
        try:
            async with asyncio.timeout(self.left_s):
                connection.send(head, body, exchange)
                await exchange.ended
        except TimeoutError:
            nothing = exchange.answer.status is None
            what = "no answer came" if nothing else "the answer was not complete"
            raise NoReplyError(
                "timeout",
                f"{what} within {self._timeout_s:g} s",
                where=exchange.url,
                hint="Is the server stuck, or too slow for the time that it is given?",
            ) from None
        finally:
            connection.abort()
        return exchange.reply(expects_stream=expects_stream)

    async def _connect(self, url: str) -> Connection:
        host, port = self._endpoint.host, self._endpoint.port
        try:
            async with asyncio.timeout(min(_CONNECT_S, self.left_s)):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _BoundedConnection,
                    host,
                    port,
                    ssl=self._tls,
                    server_hostname=host if self._tls else None,
                )
                return connection
        except OSError as error:  # a timeout and a failed certificate are among them
            limit_s = min(_CONNECT_S, self._timeout_s)
            message, hint = _why_not_connected(error, limit_s, tls=self._endpoint.tls)
            raise NoReplyError("unreachable", message, where=url, hint=hint) from None


class _KeptAnswer(Answer):
    """An answer that keeps its headers and its body too."""

    __slots__ = ("content", "headers")

    def __init__(self) -> None:
        super().__init__(keep_text=True)
        self.headers: dict[str, str] = {}
        self.content = bytearray()

    def header(self, name: bytes, value: bytes) -> None:
        super().header(name, value)
        self.headers[name.decode("latin-1")] = value.decode("latin-1")

    def body(self, data: bytes, now: float) -> None:
        super().body(data, now)
        self.content += data


class _Exchange:
    """What the connection tells of its request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept = _KeptAnswer()
        self.answer: Answer = self._kept
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        del connection, reusable
        if not self.ended.done():
            self.ended.set_result(None)

    def failed(self, connection: Connection, why: str, *, garbage: bool, untouched: bool) -> None:
        del connection
        if self.ended.done():
            return
        if garbage:
            why = why.removeprefix("not HTTP: ")
            message, hint = f"what answers there does not speak HTTP ({why})", _CHECK_ADDRESS
        elif untouched:
            message, hint = "the server closed the connection without an answer", _CHECK_LOG
        else:
            message, hint = f"the server broke off its answer ({why})", _CHECK_LOG
        outcome: Outcome = "garbage" if garbage else "broken"
        self.ended.set_exception(NoReplyError(outcome, message, where=self.url, hint=hint))

    def endless(self) -> None:
        """Give up an answer that is far too long."""
        if not self.ended.done():
            size = f"{MAX_ANSWER_BYTES >> 20} MiB"
            message = f"the answer to a request for a few tokens is longer than {size}"
            error = NoReplyError("garbage", message, where=self.url, hint=_CHECK_ADDRESS)
            self.ended.set_exception(error)

    def reply(self, *, expects_stream: bool) -> Reply:
        kept = self._kept
        assert kept.status is not None  # it has ended
        try:
            outcome, why = kept.ended()
        except RecursionError:  # msgspec's, for JSON that is nested too deep
            outcome, why = "garbage", "the answer's JSON is nested too deep"
        return Reply(
            self.url,
            kept.status,
            kept.headers,
            bytes(kept.content),
            kept,
            outcome,
            why,
            expects_stream,
        )


class _BoundedConnection(Connection):
    """A connection that does not read for ever, be it headers or body."""

    __slots__ = ("_asked", "_read")

    def __init__(self) -> None:
        super().__init__(closed=lambda: None)
        self._asked: _Exchange | None = None
        self._read = 0

    def send(self, head: bytes, body: bytes, exchange: _Exchange) -> None:  # type: ignore[override]
        self._asked = exchange
        super().send(head, body, exchange)

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        if self._read <= MAX_ANSWER_BYTES:
            super().data_received(data)
            return
        if self._asked is not None:
            self._asked.endless()
        self.abort()


def _why_not_connected(error: OSError, limit_s: float, *, tls: bool) -> tuple[str, str]:
    """What a failed attempt to connect means, and what to do."""
    if isinstance(error, TimeoutError):
        other = ", is it http:// rather than https://," if tls else ""
        hint = f"Is the address right{other} or does a firewall stand between?"
        return f"no connection within {limit_s:.3g} s", hint
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "Name the authority that signed it in the environment variable SSL_CERT_FILE."
        return f"the server's certificate is not trusted ({error.verify_message})", hint
    if isinstance(error, ssl.SSLError):
        return "no TLS connection could be made", "Is it http:// rather than https://?"
    if isinstance(error, socket.gaierror):
        return "the host's name is unknown", "Check the spelling of the address."
    # Several addresses of a name that all fail make one OSError that spells them out.
    refused = isinstance(error, ConnectionRefusedError) or f"Errno {errno.ECONNREFUSED}" in str(
        error
    )
    why = "" if refused else f" ({printable(error.strerror or str(error))})"
    hint = "Start one with `pilotage serve`, or give the address of another."
    return f"no server answers there{why}", hint
