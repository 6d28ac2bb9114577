"""What the threads of one transfer share."""

from __future__ import annotations

import threading
from collections import deque

from pilotage.fetch.transfer.job import Digest, Job, Task


class StoppedError(BaseException):
    """Raised inside a thread whose work is no longer wanted; never leaves the engine.

    Not an `Exception`: it says nothing about the origin, and nobody on its way is to handle it.
    """


class Board:
    """Queues, counters and the end of a transfer, all under one lock.

    Attributes:
        lock: Guards everything here and the state of the jobs. A task's own lock is taken before
            it, never after.
        work: Notified when there is a task, or nothing to wait for.
        hashing: The same for hashing threads.
        main: Notified when the main thread should look.
        tasks: To be read from the origin, in order.
        digests: Files of which more can be hashed.
        stopping: Set at the end, good or bad.
        error: What ended the transfer.
        left: Files that are not there yet.
        received: Bytes that the origin sent.
        retries: Requests that failed and are made again.
        without_ranges: Whether the origin was seen to ignore ranges.
    """

    def __init__(self, files: int) -> None:
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.hashing = threading.Condition(self.lock)
        self.main = threading.Condition(self.lock)
        self.tasks: deque[Task] = deque()
        self.digests: deque[tuple[Job, Digest]] = deque()
        self.stopping = False
        self.error: BaseException | None = None
        self.left = files
        self.received = 0
        self.retries = 0
        self.without_ranges = False
        self._over = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Wait, at most until the transfer ends.

        Raises:
            StoppedError: It has ended.
        """
        if self._over.wait(seconds):
            raise StoppedError

    def going(self) -> None:
        """Raise `StoppedError` once the transfer ends."""
        if self.stopping:
            raise StoppedError

    def fail(self, error: BaseException) -> None:
        """End the transfer; the first error is the one that is told."""
        with self.lock:
            if not self.stopping:
                self.error = error
            self._stop()

    def end(self) -> None:
        """Send all threads home."""
        with self.lock:
            self._stop()

    def add(self, tasks: list[Task]) -> None:
        """Queue tasks before all others: they are of a file that was begun."""
        with self.lock:
            self.tasks.extendleft(reversed(tasks))
            self.work.notify(len(tasks))

    def finish(self, job: Job) -> None:
        """Count a file as there; `job.done` is set."""
        job.target.close()
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.main.notify()

    def follow(self, job: Job) -> None:
        """Have more of a file hashed if there is more; the lock is held."""
        digest = job.digest
        if not (digest.claimed or digest.queued) and digest.hashed < job.frontier():
            digest.queued = True
            self.digests.append((job, digest))
            self.hashing.notify()

    def _stop(self) -> None:
        self.stopping = True
        self._over.set()
        self.work.notify_all()
        self.hashing.notify_all()
        self.main.notify_all()
