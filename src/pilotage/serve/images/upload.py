"""A file that a client sends, while it arrives: a little in memory, more on disk, bounded."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from typing import IO, Final

from pilotage.images import ImageError, ImageLimits
from pilotage.serve.images.spool import Spool

_IN_MEMORY: Final = 1 << 20


class Upload:
    """Bytes that arrive in pieces; past a mebibyte they go to an unnamed file.

    The file has no name from its beginning, so that nothing is left behind whatever happens.

    Args:
        limits: Says how many bytes are taken.
        spool: Says how many are taken of all uploads together; None is no bound.
    """

    def __init__(self, limits: ImageLimits, spool: Spool | None = None) -> None:
        self._limits = limits
        self._spool = spool
        self._held = 0
        self._memory: list[bytes | memoryview] = []
        self._waiting = 0
        self._file: IO[bytes] | None = None
        self._size = 0
        self._closed = False
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self._size

    def add(self, data: bytes | memoryview) -> None:
        """Take some bytes, which must not change; `settle` must follow before many more.

        Raises:
            ImageError: They are too many now.
            SpoolFull: All uploads together are.
        """
        self._size += len(data)
        if self._size > self._limits.max_bytes:
            raise self._limits.too_long()
        if self._spool is not None:
            self._spool.take(len(data))
            self._held += len(data)
        self._memory.append(data)
        self._waiting += len(data)

    async def settle(self) -> None:
        """Let go of the memory, if it has become much."""
        if self._waiting >= _IN_MEMORY:
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write what is in memory to the file. Blocks."""
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see `close`
            for data in self._memory:
                left = memoryview(data)
                while left:
                    left = left[self._file.write(left) :]
            self._forget()

    def source(self) -> bytes | int:
        """All of it: its bytes if they are few, else a file descriptor for the caller to close.

        Blocks. The descriptor stays good when a request that is given up closes the upload.

        Raises:
            ImageError: It is closed already.
        """
        with self._lock:
            if self._closed:
                raise ImageError("the request was given up")
            if self._file is None:
                return b"".join(self._memory)
            if self._memory:
                self.flush()
            return os.dup(self._file.fileno())

    def close(self) -> None:
        """Forget it."""
        with self._lock:
            self._closed = True
            self._forget()
            if self._file is not None:
                self._file.close()
            if self._spool is not None:
                self._spool.give_back(self._held)
                self._held = 0

    def _forget(self) -> None:
        self._memory = []
        self._waiting = 0
