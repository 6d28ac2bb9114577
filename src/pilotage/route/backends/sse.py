"""Server-sent events, as far as answers use them: the data, in bounded memory."""

from __future__ import annotations

from typing import Final

from pilotage.route.backends.backend import BackendError, Fault

MAX_EVENT: Final = 8 << 20
"""Bytes of one event."""


class EventReader:
    """Puts events together from the bytes of a stream, wherever these are cut.

    As in the HTML standard (9.2.6): lines end with LF or CRLF, ``data`` lines of an event are
    joined by LF, comments and other fields are left out. A lone CR as a line's end is not
    understood; nobody sends it.
    """

    __slots__ = ("_data", "_partial", "_size")

    def __init__(self) -> None:
        self._partial = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are whole now.

        Raises:
            BackendError: An event is longer than `MAX_EVENT`.
        """
        lines = (self._partial + data if self._partial else data).split(b"\n")
        self._partial = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
                self._size += len(line)
            elif line in (b"", b"\r") and self._data:
                events += self.end()
        if self._size + len(self._partial) > MAX_EVENT:
            raise BackendError(Fault.GARBAGE, "an event of the stream is too long")
        return events

    def end(self) -> list[bytes]:
        """The data of an event that the stream ended in, if its lines are whole."""
        if not self._data:
            return []
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        self._size = 0
        return [data]
