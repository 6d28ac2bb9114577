"""Uvicorn as the gateway runs it, and the requests it is busy with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


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


class QuietServer(uvicorn.Server):
    """Uvicorn, without signal handlers of its own: the gateway decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
