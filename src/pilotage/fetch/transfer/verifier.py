"""The threads that hash files while they arrive, and what happens when a digest is wrong."""

from __future__ import annotations

import threading
import time

from pilotage.errors import IntegrityError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.transfer.board import Board, StoppedError
from pilotage.fetch.transfer.job import Digest, Job, Part, Probe, Task
from pilotage.fetch.transfer.journal import Journal
from pilotage.fetch.transfer.options import TransferOptions
from pilotage.fetch.transfer.plan import part_size, parts
from pilotage.fetch.transfer.repair import Repair


class Verifier:
    """Hashes every file in order, one thread a file.

    Bytes that arrive at the place which the hash has reached are taken from the thread's buffer
    while they are still in the processor's cache; others from the page cache, once the hash gets
    there, by threads of their own. hashlib lets go of the interpreter lock.

    Args:
        board: What the threads share.
        manifest: What is promised.
        journal: What has arrived.
        options: How many threads, and how often to try.
    """

    def __init__(
        self, board: Board, manifest: Manifest, journal: Journal, options: TransferOptions
    ) -> None:
        self._board = board
        self._source = manifest.source
        self._journal = journal
        self._options = options
        self._threads: list[threading.Thread] = []
        # One stream alone is faster when its hash is another thread's work.
        self._hash_on_arrival = options.hashing and options.workers > 1

    def start(self) -> None:
        """Begin to hash."""
        for _ in range(self._options.hashers):
            thread = threading.Thread(target=self._work, name="fetch-hash", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, within_s: float) -> None:
        """Wait for the threads to end."""
        until = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def look(self, job: Job) -> None:
        """Have a file hashed as far as it is there, and judged if it is whole."""
        with self._board.lock:
            self._enqueue(job)

    def arrived(self, job: Job, data: memoryview, at: int) -> None:
        """Hash what arrived, here and now if it is next."""
        board, digest = self._board, job.digest
        with board.lock:
            if not self._options.hashing:
                if job.arrived == job.size:
                    self._enqueue(job)
                return
            next_one = digest is job.digest and not digest.claimed and digest.hashed == at
            if not (next_one and self._hash_on_arrival):
                board.follow(job)
                return
            digest.claimed = True
        digest.update(data)
        with board.lock:
            digest.claimed = False
            if job.digest is digest:
                if digest.hashed < job.size:
                    board.follow(job)
                    return
                found = digest.entry(job.file, job.size)
                if _is_wrong(job.file, found) or _is_doubtful(job, found):
                    self._enqueue(job)
                    return
                # Here and now: many small files must not stay open until a thread is free.
                digest.judged = True
                job.done = found
        if job.done is not None:
            board.finish(job)

    def read(self, task: Task) -> None:
        """Draw the conclusion from a part that was read a second or a third time."""
        job = task.job
        if task.revoked:
            return
        if isinstance(task, Probe):
            if task.crc == task.extent.crc:
                self._settle(job, changed=False)
            else:
                self._board.add([Part(job, task.start, task.stop, rewrite=True)])
        elif isinstance(task, Part) and task.rewrite:
            self._settle(job, changed=True)

    def _enqueue(self, job: Job) -> None:
        digest = job.digest
        if not digest.queued:
            digest.queued = True
            self._board.digests.append((job, digest))
            self._board.hashing.notify()

    def _work(self) -> None:
        board = self._board
        buffer = memoryview(bytearray(self._options.buffer_bytes))
        while True:
            with board.lock:
                while not (board.digests or board.stopping):
                    board.hashing.wait()
                if board.stopping:
                    return
                job, digest = board.digests.popleft()
            try:
                if not self._options.hashing:
                    job.done = FileEntry(job.file.path, job.size)
                    board.finish(job)
                elif self._follow(job, digest, buffer):
                    self._judge(job, digest, buffer)
            except StoppedError:
                return
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                board.fail(error)
                return

    def _follow(self, job: Job, digest: Digest, buffer: memoryview) -> bool:
        """Hash what is there; True when that is all of the file."""
        board = self._board
        with board.lock:
            digest.queued = False
            if digest is not job.digest or digest.claimed:
                return False
            digest.claimed = True
        while True:
            board.going()
            with board.lock:
                frontier = job.frontier() if digest is job.digest else 0
                if digest.hashed >= frontier:
                    digest.claimed = False
                    whole = digest is job.digest and digest.hashed == job.size
                    if not whole or digest.judged:
                        return False
                    digest.judged = True
                    return True
            count = job.target.read(
                buffer[: min(len(buffer), frontier - digest.hashed)], digest.hashed
            )
            digest.update(buffer[:count])

    def _judge(self, job: Job, digest: Digest, buffer: memoryview) -> None:
        found = digest.entry(job.file, job.size)
        if _is_doubtful(job, found):
            job.checked = True
            if self._fetch_lost(job, buffer):
                return
        if _is_wrong(job.file, found):
            self._compare_more(job, found)
        else:
            job.done = found
            self._board.finish(job)

    def _fetch_lost(self, job: Job, buffer: memoryview) -> bool:
        """Have fetched again what is not on disk as it was journalled; False if all of it is."""
        known = self._journal.extents(job.index)
        held = [each for each in known if job.target.holds(each, buffer, self._board.going)]
        size = self._options.part_bytes or part_size(job.size, self._options.workers)
        missing = parts(held, job.size, size)
        if not missing:
            return False
        self._journal.replace(job.index, held)
        with self._board.lock:
            job.have(held)
        self._board.add([Part(job, start, stop) for start, stop in missing])
        return True

    def _compare_more(self, job: Job, found: FileEntry | None = None) -> None:
        repair = job.repair = job.repair or Repair(self._options.rounds)
        batch = repair.batch(self._journal.extents(job.index), self._options.workers)
        if batch:
            self._board.add([Probe(job, extent) for extent in batch])
            return
        found = found or job.digest.entry(job.file, job.size)
        self._journal.replace(job.index, [])
        self._board.fail(_never_verifies(self._source, job.file, found, repair))

    def _settle(self, job: Job, *, changed: bool) -> None:
        with self._board.lock:
            if (repair := job.repair) is None:
                return  # the file is fetched anew, whole
            last = repair.settle(changed=changed)
            if last and repair.changed:
                job.digest = Digest(job.file, job.size)
                self._enqueue(job)
                return
        if last:
            self._compare_more(job)


def _expected(file: FileEntry) -> str | None:
    return file.sha256 or file.git_sha1


def _is_wrong(file: FileEntry, found: FileEntry) -> bool:
    return _expected(file) not in {None, found.sha256, found.git_sha1}


def _is_doubtful(job: Job, found: FileEntry) -> bool:
    """Whether the disk may not hold what arrived, and was not looked at yet."""
    unvouched = job.resumed and _expected(job.file) is None
    return not job.checked and (unvouched or _is_wrong(job.file, found))


def _never_verifies(
    source: str, file: FileEntry, found: FileEntry, repair: Repair
) -> IntegrityError:
    kind, got = ("sha256", found.sha256) if file.sha256 else ("git-sha1", found.git_sha1)
    times = "once more" if repair.round == 1 else f"{repair.round} times more"
    return IntegrityError(
        f"{file.path} never verifies: every part of it was read {times} and its {kind} is still "
        f"{got}, not {_expected(file)}",
        where=source,
        hint="Nothing was published. The origin, or a proxy on the way, alters the file",
    )
