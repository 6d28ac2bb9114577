"""How a transfer is done, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from pilotage.fetch.progress import Progress

MIB = 1 << 20
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """Bounds of a transfer.

    Attributes:
        threads: Parts that are in flight at once. Fewer run on a small machine; see `workers`.
        buffer_bytes: The most that a thread reads before it writes; see `plan.step`.
        memory_bytes: Bound on all buffers together.
        part_bytes: The size of a part; None adapts it to the file, see `plan.part_size`.
        stall_s: Seconds without a byte after which a part is cut and asked for again.
        deadline_s: Seconds for the whole transfer; None for no bound.
        rounds: How often a file that does not verify is compared with the origin, part by part.
        hashing: False leaves the digests out. Only to measure the transfer alone: what is returned
            then names no sha256, and no store publishes it.
    """

    threads: int = 8
    buffer_bytes: int = MIB
    memory_bytes: int = 64 * MIB
    part_bytes: int | None = None
    stall_s: float = 30.0
    deadline_s: float | None = None
    rounds: int = 2
    hashing: bool = True

    def __post_init__(self) -> None:
        least = min(self.threads, self.buffer_bytes, self.memory_bytes, self.part_bytes or 1)
        if least < 1 or self.rounds < 0 or not self.stall_s > 0:
            raise ValueError("a transfer needs positive bounds")

    @property
    def hashers(self) -> int:
        """Threads that hash what lies in the page cache, one a file."""
        return min(4, _cores())

    @property
    def workers(self) -> int:
        """Threads that receive: `threads`, or what four a core and `memory_bytes` allow."""
        memory = self.memory_bytes // self.buffer_bytes - self.hashers
        return max(1, min(self.threads, 4 * _cores(), memory))


@dataclass(frozen=True, slots=True)
class TransferFolder:
    """Where a transfer writes; the same folder given again resumes.

    Attributes:
        files: The files of the manifest are written below it.
        journal: The file that records what has arrived. It stays there after the end, so that a
            process that dies before it published does not download twice.
    """

    files: Path
    journal: Path

    @staticmethod
    def of(folder: TransferFolder | Path) -> TransferFolder:
        """`folder` itself, or that path with its journal beside it."""
        if isinstance(folder, TransferFolder):
            return folder
        return TransferFolder(folder, folder.with_name(f"{folder.name}.journal"))


@dataclass(frozen=True, slots=True)
class TransferProgress(Progress):
    """How far a transfer is, in more words than most listeners need.

    Attributes:
        files_done: Files that are there and verified.
        files_total: Files in all.
        received: Bytes that the origin sent in this run, those sent twice among them.
        retries: Requests that had to be made again in this run.
    """

    files_done: int = 0
    files_total: int = 0
    received: int = 0
    retries: int = 0


class Retrying(Protocol):
    """What the engine asks of `pilotage.fetch.retry.Retry`."""

    def call(self, fn: Callable[[], T], *, origin: str, deadline: float | None = None) -> T:
        """Call `fn` until it returns; only a `TransientError` is waited out and tried again.

        Args:
            fn: Each call goes on where the one before it stopped.
            origin: Who is asked.
            deadline: On the clock of `time.monotonic`; no wait goes beyond it.
        """
        ...


@runtime_checkable
class Wakeable(Protocol):
    """A `Retrying` whose waits can be ended, so that no thread outlives a transfer that failed."""

    def sleeping(self, sleep: Callable[[float], None]) -> Retrying:
        """The same policy, with the same memory of its origins, that waits by calling `sleep`."""
        ...


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
