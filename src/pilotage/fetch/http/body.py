"""The bytes of one answer, straight into the caller's buffer."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import urllib3

from pilotage.errors import SourceError
from pilotage.fetch.http.failures import NETWORK_ERRORS, of_network
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import TransientError

_RECORD: Final = 16 * 1024
_ENOUGH: Final = 256 * 1024
_PATIENCE_S: Final = 0.1
_LEAST: Final = 32 * 1024
_MOST: Final = 1024 * 1024


class HttpBody:
    """Reads an answer's body; implements `pilotage.fetch.origin.Body`.

    Args:
        response: Its head has been read.
        url: What was asked for.
        length: Bytes that must come; None if any number may.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, url: Url, length: int | None) -> None:
        self._response = response
        self._url = url
        self._length = length
        self._chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        self._done = 0
        self._ask = _LEAST
        self._ended = False
        self._pending: SourceError | None = None

    def readinto(self, buffer: memoryview) -> int:
        """Read at most ``len(buffer)`` bytes; 0 at the end. Returns early rather than full.

        What has arrived is handed out soon, so that whoever watches for stalls sees a slow
        transfer move and an interrupted one loses nothing that had come.

        Raises:
            TransientError: The bytes stopped before the end.
            SourceError: More bytes came than were announced.
        """
        if self._pending is not None:
            raise self._pending
        limit, filled, began = len(buffer), 0, time.monotonic()
        while filled < limit and not self._ended:
            try:
                came = self._some(buffer[filled:])
                filled += came
            except SourceError as error:
                if filled == 0:
                    raise
                self._pending = error  # first what came before it
                break
            # TLS hands out 16 KiB at a time: not worth a round through the caller each. Less than
            # that is all there is for now, and to ask for more would be to wait.
            if came < _RECORD or filled >= _ENOUGH or time.monotonic() - began > _PATIENCE_S:
                break
        return filled

    def cut(self) -> None:
        """End a read that another thread is waiting in: it fails as a broken connection does."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()

    def _some(self, room: memoryview) -> int:
        """At least one byte into `room`, or 0 at the end, which is then checked."""
        try:
            data = self._response.read1(min(len(room), self._ask), decode_content=False)
        except NETWORK_ERRORS as error:
            raise of_network(error, self._url, received=self._done > 0) from error
        if not data:
            self._ended = True
            if self._length is not None and self._done < self._length:
                raise TransientError(
                    f"the answer ended after {self._done:,} of {self._length:,} bytes",
                    where=str(self._url),
                    received=self._done > 0,
                )
            if self._length is None and self._done == 0 and not self._chunked:
                # http.client takes a head that was cut for a whole one: its length is missing.
                raise TransientError("the answer has no length and no bytes", where=str(self._url))
            return 0
        # Room is made for all that is asked for, so ask for what usually comes: 16 KiB by TLS,
        # much more by plain sockets.
        if len(data) == self._ask:
            self._ask = min(2 * self._ask, _MOST)
        elif 4 * len(data) < self._ask:
            self._ask = max(self._ask // 2, _LEAST)
        self._done += len(data)
        if self._length is not None and self._done > self._length:
            self._ended = True
            raise SourceError(
                f"the server sends more than the {self._length:,} bytes it announced",
                where=str(self._url),
            )
        room[: len(data)] = data
        return len(data)
