"""The HTTP client of backends: pooled, bounded, timed, and nothing else.

It follows no redirect, keeps no cookie, asks for no compression and takes no proxy: a backend's
address is its operator's word, and what leaves the machine goes there or nowhere.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import deque
from typing import Final

from pilotage.route.backends.address import Address
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.connection import Connection, connect
from pilotage.route.backends.reply import Reply

CONNECT_S: Final = 5.0
"""Longest time for a connection, TLS included."""

_LONGEST_IDLE_S: Final = 60.0
"""After which a kept connection is not trusted: what stands between forgets it without a word."""

_RACE_S: Final = 0.02
_LONGEST_RACE_S: Final = 0.5


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


class HttpClient:
    """Sends JSON to one address.

    Args:
        address: Where.
        headers: Sent with every request, beside ``Host`` and those of the body.
        most_idle: Connections kept open for the next request.
    """

    def __init__(
        self, address: Address, headers: tuple[tuple[str, str], ...], *, most_idle: int
    ) -> None:
        self._address = address
        self._tls = _trust() if address.tls else None
        self._most_idle = most_idle
        lines = [f"Host: {address.authority}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        self._lines = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self._heads: dict[str, bytes] = {}
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._round_trip_s = 0.0
        self._closed = False

    async def post(self, path: str, body: bytes, *, first_byte_s: float, whole_s: float) -> Reply:
        """Send a request and wait for the head of its answer.

        Args:
            path: Below the address's own, from its slash on.
            body: JSON.
            first_byte_s: Longest time until the first byte of the answer's body.
            whole_s: Longest time until its last.

        Returns:
            The answer, whatever its status. Whoever gets it closes it.

        Raises:
            BackendError: UNREACHABLE, TIMEOUT, GARBAGE or CUT.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        first_by, end_by = now + first_byte_s, now + whole_s
        head = self._head(path) + b"%d\r\n\r\n" % len(body)
        connection = self._kept(now)
        if connection is not None:
            reply = connection.send(head, body)
            try:
                await _headed(reply, first_by, end_by)
            except BackendError as error:
                raced = error.fault is Fault.UNREACHABLE and self._raced(loop.time() - now)
                if not raced:
                    raise
            else:
                return reply
        connection = await self._connected(min(first_by, end_by))
        reply = connection.send(head, body)
        await _headed(reply, first_by, end_by)
        return reply

    async def close(self) -> None:
        """Close all connections; answers under way are cut."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._all):
            connection.cut()
        await asyncio.sleep(0)  # in which the event loop lets go of the sockets

    def _head(self, path: str) -> bytes:
        head = self._heads.get(path)
        if head is None:
            line = f"POST {self._address.path}{path} HTTP/1.1\r\n".encode("latin-1")
            head = self._heads[path] = line + self._lines + b"Content-Length: "
        return head

    def _kept(self, now: float) -> Connection | None:
        """An idle connection, the last used first."""
        idle = self._idle
        while idle and now - idle[0].idle_since > _LONGEST_IDLE_S:
            idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if connection.open:
                return connection
        return None

    def _raced(self, after_s: float) -> bool:
        """Whether the server had closed the kept connection before it could see the request.

        A server may close an idle connection at any time (RFC 9112, 9.3.1), also while a request
        is on its way to it. A request for an answer may only be sent twice if the first was not
        worked on, or two answers are paid for. Here it was not: the connection was kept from an
        earlier request, not a byte came for this one, and the news that it is closed came within
        about a round trip, so it left the server before the request got there, or the server fell
        over at the sight of it. A connection that closes later closes because the server failed,
        which is for the tier to judge.
        """
        longest = min(_LONGEST_RACE_S, _RACE_S + 2 * self._round_trip_s)
        return not self._closed and after_s <= longest

    async def _connected(self, by: float) -> Connection:
        loop = asyncio.get_running_loop()
        address, began = self._address, loop.time()
        where = address.authority
        try:
            async with asyncio.timeout_at(min(by, began + CONNECT_S)):
                connection = await connect(
                    address.host, address.port, self._tls, self._freed, self._gone
                )
        except TimeoutError:
            raise BackendError(Fault.UNREACHABLE, f"no connection to {where} in time") from None
        except ssl.SSLCertVerificationError as error:
            raise BackendError(
                Fault.UNREACHABLE,
                f"the certificate of {where} is not to be trusted: {error.verify_message}",
            ) from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise BackendError(Fault.UNREACHABLE, f"no connection to {where}: {why}") from None
        self._round_trip_s = loop.time() - began
        if self._closed:
            connection.abort()
            raise BackendError(Fault.UNREACHABLE, "the backend is being closed")
        self._all.add(connection)
        return connection

    def _freed(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= self._most_idle:
            connection.abort()
        else:
            self._idle.append(connection)

    def _gone(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


async def _headed(reply: Reply, first_by: float, end_by: float) -> None:
    reply.expect(first_by, end_by)
    try:
        await reply.head()
    except BaseException:
        reply.close()
        raise
