"""What a sender tells its parent, written without holding up the sender."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import BinaryIO

from pilotage.prove.client.messages import FromSender, frame


class Reporter:
    """Writes messages to the parent from a thread of its own: a full pipe must not stop the loop.

    The parent reads what it can; what it has not read yet waits here.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._messages: queue.SimpleQueue[FromSender | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def send(self, message: FromSender) -> None:
        """Have ``message`` written."""
        self._messages.put(message)

    def close(self) -> None:
        """Wait until everything is written."""
        self._messages.put(None)
        self._thread.join()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._messages.get()) is not None:
                self._pipe.write(frame(message))
                self._pipe.flush()
