"""Bodies and due times on disk, so that a run of any length needs little memory and no work.

Everything is made before the clock starts: a sender that also had to make prompts would be late.
The files have no name (they vanish with the processes) and senders map them into memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pilotage.errors import ResourceError, UsageError
from pilotage.prove.payload import Payload

TABLE = np.dtype(
    [
        ("offset", "<i8"),
        ("length", "<i8"),
        ("content_type", "<i4"),
        ("prompt_tokens", "<i4"),  # -1: unknown
        ("asked_tokens", "<i4"),  # -1: left to the server
    ]
)
"""A row a payload: where its body is and what is known of it."""

_REPORT_EVERY = 256
_COPIED = 64 * 1024


class Spool:
    """Payloads and due times in unnamed files. A context manager: leaving it drops them.

    Attributes:
        content_types: Media types of the payloads, each once.
        count: Payloads in it.
        size: Bytes of all bodies.
    """

    def __init__(self) -> None:
        self._bodies: IO[bytes] = tempfile.TemporaryFile(prefix="pilotage-prove-")  # noqa: SIM115
        self._table: IO[bytes] = tempfile.TemporaryFile(prefix="pilotage-prove-")  # noqa: SIM115
        self._times: IO[bytes] | None = None
        self.content_types: tuple[str, ...] = ()
        self.count = 0
        self.size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the files."""
        for file in (self._bodies, self._table, self._times):
            if file is not None:
                file.close()

    def write(
        self, payloads: Iterable[Payload], progress: Callable[[int], None] | None = None
    ) -> None:
        """Put ``payloads`` down, telling ``progress`` now and then how many there are.

        Raises:
            ResourceError: The disk of the temporary folder is full.
            UsageError: There is not one payload.
        """
        content_types: dict[str, int] = {}
        rows: list[tuple[int, int, int, int, int]] = []
        offset = 0
        try:
            for payload in payloads:
                kind = content_types.setdefault(payload.content_type, len(content_types))
                self._bodies.write(payload.body)
                rows.append(
                    (
                        offset,
                        len(payload.body),
                        kind,
                        -1 if payload.prompt_tokens is None else payload.prompt_tokens,
                        -1 if payload.asked_tokens is None else payload.asked_tokens,
                    )
                )
                offset += len(payload.body)
                if progress is not None and len(rows) % _REPORT_EVERY == 0:
                    progress(len(rows))
            self._bodies.flush()
            self._table.write(np.array(rows, dtype=TABLE).tobytes())
            self._table.flush()
        except OSError as error:
            raise ResourceError(
                f"the requests could not be put down: {error.strerror}",
                where=tempfile.gettempdir(),
                hint="Free some space there, or name another folder in TMPDIR",
            ) from None
        if not rows:
            raise UsageError("there is no prompt to send")
        self.content_types = tuple(content_types)
        self.count = len(rows)
        self.size = offset
        if progress is not None:
            progress(self.count)

    def write_times(self, times_s: NDArray[np.float64]) -> None:
        """Put the due times down."""
        self._times = tempfile.TemporaryFile(prefix="pilotage-prove-")  # noqa: SIM115
        self._times.write(times_s.astype("<f8").tobytes())
        self._times.flush()

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """Of bodies, table and times (-1 without times), for a process that inherits them."""
        times = -1 if self._times is None else self._times.fileno()
        return self._bodies.fileno(), self._table.fileno(), times


class SpooledPayloads:
    """A sender's view of a spool that its parent wrote.

    Args:
        bodies_fd: Descriptor of the bodies.
        table_fd: Descriptor of the table.
    """

    def __init__(self, bodies_fd: int, table_fd: int) -> None:
        self._bodies = _mapped(bodies_fd)
        self._view = memoryview(self._bodies)
        table = np.frombuffer(_mapped(table_fd), dtype=TABLE)
        # Python integers: they are faster than NumPy's when read one at a time.
        self.rows: list[tuple[int, int, int, int, int]] = table.tolist()

    def body(self, offset: int, length: int) -> bytes | memoryview:
        """The bytes of a body.

        A large one stays in the file: a server that reads slowly, or not at all, has thousands of
        them wait to be sent, and they would not fit into memory.
        """
        end = offset + length
        return self._bodies[offset:end] if length <= _COPIED else self._view[offset:end]


def read_times(times_fd: int) -> NDArray[np.float64]:
    """The due times that `Spool.write_times` put down."""
    return np.frombuffer(_mapped(times_fd), dtype="<f8")


def _mapped(fd: int) -> mmap.mmap | bytes:
    size = os.fstat(fd).st_size
    return mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else b""
