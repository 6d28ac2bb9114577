"""Uvicorn as the gateway runs it, and the requests it is busy with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class InFlight:
    """Counts the HTTP requests that are being answered, so that a drain knows when it is done."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.count = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        self.count += 1
        self.idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self.count -= 1
            if not self.count:
                self.idle.set()


CONNECTION: Final = "pilotage.connection"
"""Where an ASGI scope has its `GatheringProtocol`, if it came by one."""


class GatheringProtocol(HttpToolsProtocol):
    """Uvicorn's, but what is written in one turn of the event loop goes out in one piece.

    It writes a response's head and body one after the other, which are two system calls and wake
    the client twice; that is a tenth of what a routed request costs.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        self._watchers: set[Callable[[], None]] = set()
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """Begin a request; its scope names the connection that it came on."""
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever watches."""
        super().connection_lost(exc)
        for gone in tuple(self._watchers):
            gone()

    def watch(self, gone: Callable[[], None]) -> bool:
        """Call ``gone`` when the client hangs up, until `unwatch`.

        Returns:
            False if that cannot be told here: it has hung up, or nothing is read from it just now.
        """
        if self.transport.is_closing() or self.flow.read_paused:
            return False
        self._watchers.add(gone)
        return True

    def unwatch(self, gone: Callable[[], None]) -> None:
        """Watch no more."""
        self._watchers.discard(gone)


class _Gathering:
    """A transport whose writes wait for the end of the event loop's turn."""

    __slots__ = ("_loop", "_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        pieces = self._pieces
        if not pieces:
            self._loop.call_soon(self._flush)
        pieces.append(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces = self._pieces
        if not pieces:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if not self._transport.is_closing():
            self._transport.write(data)


class QuietServer(uvicorn.Server):
    """Uvicorn, without signal handlers of its own: the gateway decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
