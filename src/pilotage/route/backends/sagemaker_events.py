"""What a container answers, through SageMaker: parts of a stream of events, or of one JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilotage.route.answer import Chunk
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import ChatEvents
from pilotage.route.backends.sse import EventReader

_MOST_BYTES: Final = 32 << 20
"""Of an answer that comes as one JSON."""


class PayloadReading:
    """Reads one answer, wherever SageMaker cuts it.

    Attributes:
        begun: Whether a part of the answer has come.
        told: Whether `end` has been given.
    """

    def __init__(self) -> None:
        self.begun = False
        self.told = False
        self._events = ChatEvents()
        self._reader = EventReader()
        self._json: bytearray | None = None
        self._blank = True

    @property
    def finished(self) -> bool:
        """Whether the answer is whole; its usage may be missing yet."""
        return self._events.finish_reason is not None

    @property
    def done(self) -> bool:
        """Whether the container said that nothing more comes."""
        return self._events.done

    def part(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are whole with these bytes.

        Raises:
            BackendError: They are no answer of OpenAI's chat API, or say an error.
        """
        if self._blank:
            data = data.lstrip()
            if not data:
                return
            self._blank = False
            # A container that knows no streams answers as if it had not been asked for one.
            self._json = bytearray() if data.startswith(b"{") else None
        if self._json is not None:
            self._json += data
            if len(self._json) > _MOST_BYTES:
                raise BackendError(Fault.GARBAGE, "the answer is too long")
            return
        for event in self._reader.feed(data):
            yield from self._event(event)

    def end(self) -> Iterator[Chunk]:
        """What is left, and the last chunk.

        Raises:
            BackendError: The answer is not whole.
        """
        for event in [bytes(self._json)] if self._json is not None else self._reader.end():
            yield from self._event(event)
        if not self._events.finished:
            raise BackendError(
                Fault.CUT, "the answer ended without a finish reason", usage=self._events.usage
            )
        self.told = True
        yield self._events.last()

    def _event(self, data: bytes) -> Iterator[Chunk]:
        if chunk := self._events.event(data):
            self.begun = True
            yield chunk
