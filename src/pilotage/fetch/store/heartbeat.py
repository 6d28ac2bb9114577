"""Signs of life: a file whose modification time moves while its holder lives."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def beating(
    descriptor: int, every_s: float, *, while_: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Touch an open file every so often, from a thread of its own.

    It is the open file that is touched, not its path: when another process has put a file of its
    own there, that one is not kept alive by us.

    Args:
        descriptor: The open file; it must stay open inside the block.
        every_s: Seconds between two beats.
        while_: Asked before each beat; no beat while it says False.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            if while_():
                with suppress(OSError):  # a server that is away for a moment
                    os.utime(descriptor)

    thread = threading.Thread(target=beat, name="pilotage-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def filesystem_now(folder: Path) -> float:
    """What time it is for the modification times in `folder`, in seconds since 1970.

    On a network filesystem that is the server's clock, or nearly so, and not this machine's.

    Raises:
        OSError: Nothing can be written there.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as file:
        file.write(b".")
        file.flush()
        return os.fstat(file.fileno()).st_mtime
