"""How many bytes all uploads together may hold, in memory and on disk."""

from __future__ import annotations

import threading

from pilotage.serve.generation import Unavailable
from pilotage.units import format_size

_COME_BACK_S = 1.0


class SpoolFull(Unavailable):
    """There is no room for more uploads at present."""

    def __init__(self, held: int, max_bytes: int) -> None:
        super().__init__(
            f"the server holds {format_size(held, digits=3)} of images that other requests have "
            f"sent, of {format_size(max_bytes, digits=3)} that it may hold; send them again later",
            retry_after_s=_COME_BACK_S,
            code="too_many_uploads",
        )


class Spool:
    """Counts the bytes that uploads hold. Safe to use from many threads.

    Without it, slow clients by the hundred, each within its own limit, would fill the disk that
    temporary files are on.

    Args:
        max_bytes: Most bytes at once.

    Attributes:
        held: Bytes now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self.held = 0

    def take(self, count: int) -> None:
        """Hold some more bytes.

        Raises:
            SpoolFull: They are too many.
        """
        with self._lock:
            if self.held + count > self._max_bytes:
                raise SpoolFull(self.held, self._max_bytes)
            self.held += count

    def give_back(self, count: int) -> None:
        """Hold that many fewer."""
        with self._lock:
            self.held -= count
