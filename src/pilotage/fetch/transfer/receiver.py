"""The threads that read parts from the origin and write them to the disk."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from pilotage.errors import SourceError
from pilotage.fetch.origin import ChangedError, NoRangesError, Origin, TransientError
from pilotage.fetch.transfer.board import Board, StoppedError
from pilotage.fetch.transfer.job import Job, Part, Probe, Task
from pilotage.fetch.transfer.journal import Journal
from pilotage.fetch.transfer.options import Retrying, TransferOptions
from pilotage.fetch.transfer.plan import part_size, step
from pilotage.fetch.transfer.stream import Cuttable, pump

_LEFT_BEHIND: Final = 5
"""Threads in a row that one part may be taken from because they do not come back."""
_GRACE_S: Final = 2.0
"""Seconds that a thread has to come back after its body was cut."""


class Follower(Protocol):
    """What becomes of bytes that have arrived."""

    def arrived(self, job: Job, data: memoryview, at: int) -> None:
        """`data` was written at the offset `at`."""
        ...

    def read(self, task: Task) -> None:
        """All of a task was read."""
        ...


class Receiver:
    """A pool of threads over the board's tasks.

    Args:
        board: What the threads share.
        origin: Where the bytes come from.
        retry: How failures are waited out.
        journal: What has arrived.
        follower: Told about what arrives.
        options: How many threads, and how patient.
        deadline: When all must be there, on the monotonic clock.
    """

    def __init__(
        self,
        board: Board,
        origin: Origin,
        *,
        retry: Retrying,
        journal: Journal,
        follower: Follower,
        options: TransferOptions,
        deadline: float | None,
    ) -> None:
        self._board = board
        self._origin = origin
        self._retry = retry
        self._journal = journal
        self._follower = follower
        self._options = options
        self._deadline = deadline
        self._running: set[Task] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to work on the board's tasks."""
        for _ in range(self._options.workers):
            self._spawn()

    def watch(self) -> None:
        """Cut what is stalled; take it from threads that do not come back even so.

        A thread whose `readinto` blocks for good cannot be ended. It is left behind: what it was to
        read is given to a new thread, and when it wakes up it writes nothing and ends.
        """
        now = time.monotonic()
        with self._board.lock:
            tasks = list(self._running)
        for task in tasks:
            if (heard := task.heard) is None:
                continue
            if now - heard > self._options.stall_s and not task.stalled_s:
                task.stalled_s = self._options.stall_s
                _cut(task)
            elif now - heard > self._options.stall_s + min(_GRACE_S, self._options.stall_s):
                self._leave_behind(task)

    def stop(self, within_s: float) -> None:
        """Have all threads end; those that cannot write nothing any more.

        Args:
            within_s: Seconds to wait for them.
        """
        until = time.monotonic() + within_s
        with self._board.lock:
            tasks = list(self._running)
        for task in tasks:
            _cut(task)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._board.lock:
            tasks = list(self._running)
        for task in tasks:
            # Who holds the lock for so long is inside a write to a disk that hangs.
            if task.lock.acquire(timeout=max(0.1, until - time.monotonic())):
                task.revoked = True
                task.lock.release()

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._work, name="fetch-part", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        buffer = memoryview(bytearray(self._options.buffer_bytes))
        while (task := self._take()) is not None:
            try:
                self._retry.call(
                    partial(self._attempt, task, buffer),
                    origin=self._origin.name,
                    deadline=self._deadline,
                )
                self._follower.read(task)
            except StoppedError:
                pass
            except NoRangesError as error:
                self._without_ranges(task, error)
            except ChangedError as error:
                self.discard(task.job)
                self._board.fail(error)
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                self._board.fail(error)
            finally:
                self._put_down(task)
            if task.abandoned:
                return

    def _take(self) -> Task | None:
        board = self._board
        with board.lock:
            while not (board.tasks or board.stopping):
                board.work.wait()
            if board.stopping:
                return None
            task = board.tasks.popleft()
            job = task.job
            if board.without_ranges and job.arrived == 0 and not task.is_whole:
                mates = any(other.job is job for other in self._running)
                if not (mates or job.whole):
                    job.whole = True
                    board.tasks = type(board.tasks)(t for t in board.tasks if t.job is not job)
                    task = Part(job, 0, job.size)
            self._running.add(task)
            return task

    def _put_down(self, task: Task) -> None:
        try:
            if isinstance(task, Part):
                with task.lock:
                    self._mark(task)
        except OSError as error:
            self._board.fail(error)
        with self._board.lock:
            self._running.discard(task)

    def _attempt(self, task: Task, buffer: memoryview) -> None:
        self._board.going()
        if task.revoked:
            raise StoppedError
        if task.job.whole and task.position > task.start:
            self._begin_again(task)
        begun = task.position
        store: Callable[[memoryview], None] = (
            partial(self._store, task) if isinstance(task, Part) else partial(self._compare, task)
        )
        try:
            pump(self._board, self._origin, task, buffer[: self._step(task)], store)
        except TransientError as error:
            gained = task.position - begun
            # Bytes that have to be sent again are no progress, and neither is a drip.
            error.received = not task.job.whole and (
                gained >= len(buffer) or gained * 16 >= task.stop - begun
            )
            with self._board.lock:
                self._board.retries += 1
            if isinstance(task, Part):
                with task.lock:
                    self._mark(task)
            raise

    def _step(self, task: Task) -> int:
        """Bytes of a part that are written and journalled at once."""
        options = self._options
        part = options.part_bytes or part_size(task.job.size, options.workers)
        return step(part, options.workers, options.buffer_bytes)

    def _store(self, part: Part, data: memoryview) -> None:
        job, board = part.job, self._board
        with part.lock:
            if part.revoked:
                raise StoppedError
            at = part.position
            job.target.write(data, at)
            part.crc = zlib.crc32(data, part.crc)
            part.position += len(data)
            self._mark(part)
            with board.lock:
                board.received += len(data)
                if not part.rewrite:
                    job.grow(part.start, part.position)
        if not part.rewrite:
            self._follower.arrived(job, data, at)

    def _compare(self, probe: Task, data: memoryview) -> None:
        probe.crc = zlib.crc32(data, probe.crc)
        probe.position += len(data)
        with self._board.lock:
            self._board.received += len(data)

    def _mark(self, part: Part) -> None:
        """Journal what arrived of a part, unless it could not be gone on with; lock held."""
        resumable = not part.job.whole or part.position == part.stop
        if resumable and not part.revoked and part.position > part.journalled:
            self._journal.add(part.job.index, part.extent)
            part.journalled = part.position

    def _begin_again(self, task: Task) -> None:
        with task.lock:
            if task.revoked:
                raise StoppedError
            task.position, task.crc = task.start, 0
            if isinstance(task, Part) and not task.rewrite:
                with self._board.lock:
                    task.job.have([])

    def _leave_behind(self, task: Task) -> None:
        if not task.lock.acquire(blocking=False):
            return  # it writes: so it lives
        try:
            if task.revoked:
                return
            if isinstance(task, Part):
                self._mark(task)
            task.revoked = task.abandoned = True
            stalls = 1 if task.position > task.start else task.stalls + 1
            rest: Task
            if isinstance(task, Probe):
                rest = Probe(task.job, task.extent, stalls=stalls)
            elif isinstance(task, Part) and task.job.whole:
                rest = Part(task.job, 0, task.stop, stalls=task.stalls + 1, rewrite=task.rewrite)
                with self._board.lock:
                    if not task.rewrite:
                        task.job.have([])
            else:
                rewrite = isinstance(task, Part) and task.rewrite
                rest = Part(task.job, task.position, task.stop, stalls=stalls, rewrite=rewrite)
        finally:
            task.lock.release()
        with self._board.lock:
            self._running.discard(task)
            self._board.retries += 1
        if rest.stalls >= _LEFT_BEHIND:
            self._board.fail(
                SourceError(
                    f"{task.job.file.path}: the origin stopped sending, {rest.stalls} times in a "
                    f"row for {self._options.stall_s:g} s",
                    where=self._origin.name,
                    hint="What arrived is kept: fetch again to go on",
                )
            )
            return
        self._board.add([rest])
        self._spawn()

    def _without_ranges(self, task: Task, error: NoRangesError) -> None:
        """Have the file whole, in one stream: the origin ignores ranges."""
        job, board = task.job, self._board
        if task.is_whole and task.position == 0:
            board.fail(error)  # it does not give the whole file either
            return
        with board.lock:
            if job.whole or task.revoked:
                return
            job.whole = board.without_ranges = True
        self.discard(job)
        with board.lock:
            job.have([])
            job.repair = None
        board.add([Part(job, 0, job.size)])

    def discard(self, job: Job) -> None:
        """Forget what arrived of a file, for good."""
        with self._board.lock:
            mates = [task for task in self._running if task.job is job]
            self._board.tasks = type(self._board.tasks)(
                task for task in self._board.tasks if task.job is not job
            )
        for mate in mates:
            with mate.lock:
                mate.revoked = True
            _cut(mate)
        self._journal.replace(job.index, [])


def _cut(task: Task) -> None:
    body = task.body
    if isinstance(body, Cuttable):
        with suppress(Exception):
            body.cut()
