"""An HTTP answer on its way: its head, then its body piece by piece, in bounded memory."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from pilotage.route.backends.backend import BackendError, Fault

MAX_BODY: Final = 64 << 20
"""Bytes of an answer's body that are taken; a longer one is no answer."""

_MOST_HEADERS: Final = 256
_HIGH_WATER: Final = 256 << 10
_NEVER: Final = float("inf")


class Wire(Protocol):
    """The connection an answer comes on."""

    def pause(self) -> None:
        """Take nothing more from the socket for now."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def drain(self) -> None:
        """Nobody reads on: keep the connection if the rest is short, else close it."""
        ...


class Reply:
    """One answer. The connection fills it; one task reads it.

    Args:
        wire: Where it comes from.
        loop: The running event loop.

    Attributes:
        status: Of HTTP; 0 before the head.
        headers: By name in lower case. Of several with a name the last.
        untouched: Not a byte of it has come.
        sized: Whether the head says where the body ends; otherwise the connection's end does.
    """

    __slots__ = (
        "_end_by",
        "_error",
        "_held",
        "_loop",
        "_paused",
        "_pieces",
        "_timer",
        "_total",
        "_waiter",
        "_whole",
        "_wire",
        "headers",
        "sized",
        "status",
        "untouched",
    )

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.untouched = True
        self.sized = False
        self._wire = wire
        self._loop = loop
        self._pieces: list[bytes] = []
        self._held = 0
        self._total = 0
        self._whole = False
        self._paused = False
        self._error: BackendError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_by = _NEVER

    # The reader's side -------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more will come, for good or ill."""
        return self._whole or self._error is not None

    async def head(self) -> None:
        """Wait for the status and the headers.

        Raises:
            BackendError: They did not come.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self) -> bytes:
        """More of the body, as much as there is; nothing at its end.

        Raises:
            BackendError: It broke off. What had come before was read first.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._whole:
                return b""
            await self._wait()
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._wire.resume()
        return data

    async def whole(self, limit: int = MAX_BODY) -> bytes:
        """All of the body.

        Raises:
            BackendError: It broke off, or is longer than ``limit`` bytes.
        """
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                raise BackendError(Fault.GARBAGE, f"the answer is longer than {limit} bytes")
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def expect(self, first_by: float, end_by: float) -> None:
        """Set time limits, on the event loop's clock; infinity for none.

        Args:
            first_by: By when the first byte of the body has to come.
            end_by: By when all of it has to.
        """
        self._finish()
        self._end_by = end_by
        if not self.over:
            self._alarm(end_by if self._total else min(first_by, end_by))

    def close(self) -> None:
        """Want no more of it. Any number of times."""
        if not self.over:
            self._finish()
            self._error = BackendError(Fault.CUT, "closed by us")
            self._wire.abort()

    def let_go(self) -> None:
        """Want no more of it, as everything that matters has come."""
        if not self.over:
            self._finish()
            self._error = BackendError(Fault.CUT, "let go by us")
            if self._paused:
                self._wire.resume()
            self._wire.drain()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _alarm(self, at: float) -> None:
        self._timer = self._loop.call_at(at, self._late) if at < _NEVER else None

    def _late(self) -> None:
        if self._total and self._loop.time() < self._end_by:
            self._alarm(self._end_by)  # the first byte came in time: from now on the end counts
            return
        what = "no end of the answer" if self._total else "no answer"
        self.fail(BackendError(Fault.TIMEOUT, f"{what} within the time limit"))
        self._wire.abort()

    # The connection's side ---------------------------------------------------------------------

    def header(self, name: bytes, value: bytes) -> None:
        """Take a header field; ``name`` is in lower case."""
        if len(self.headers) < _MOST_HEADERS:
            self.headers[name] = value
        if name in (b"content-length", b"transfer-encoding"):
            self.sized = True

    def forget_head(self) -> None:
        """What came was an interim answer (100 Continue)."""
        self.headers.clear()
        self.sized = False

    def body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(data)
        self._held += len(data)
        self._total += len(data)
        if self._total > MAX_BODY:
            self.fail(BackendError(Fault.GARBAGE, f"the answer is longer than {MAX_BODY} bytes"))
        elif self._held > _HIGH_WATER and not self._paused:
            self._paused = True
            self._wire.pause()

    def end(self) -> None:
        """The body is whole."""
        self._whole = True
        self._finish()

    def fail(self, error: BackendError) -> None:
        """It will never be whole."""
        if not self.over:
            self._error = error
            self._finish()
            self.wake()

    def wake(self) -> None:
        """Let the reader look: something has come."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
