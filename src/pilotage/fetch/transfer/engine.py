"""From a manifest and an origin to files on disk."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.disk import disk_errors, require_room
from pilotage.fetch.manifest import Manifest
from pilotage.fetch.origin import Origin
from pilotage.fetch.progress import Phase, ProgressListener, unheard
from pilotage.fetch.transfer.board import Board
from pilotage.fetch.transfer.job import Job, Part
from pilotage.fetch.transfer.journal import Journal
from pilotage.fetch.transfer.options import (
    Retrying,
    TransferFolder,
    TransferOptions,
    TransferProgress,
    Wakeable,
)
from pilotage.fetch.transfer.plan import part_size, parts
from pilotage.fetch.transfer.receiver import Receiver
from pilotage.fetch.transfer.target import Target
from pilotage.fetch.transfer.verifier import Verifier

_TICK_S: Final = 0.1
_END_S: Final = 0.9
_KEPT: Final = "What arrived is kept: fetch again to go on"


def download(
    manifest: Manifest,
    origin: Origin,
    folder: TransferFolder | Path,
    *,
    retry: Retrying,
    options: TransferOptions | None = None,
    progress: ProgressListener = unheard,
    cancelled: threading.Event | None = None,
) -> Manifest:
    """Write every file of `manifest` below `folder`, verified against the digests it promises.

    The same folder given again goes on where a run that failed or was killed stopped; what it
    loses is less than one part. A folder of another manifest begins anew. Files without a promised
    digest are hashed all the same.

    Args:
        manifest: What to fetch; every size must be known.
        origin: Who has the bytes.
        folder: Where they go. One process at a time.
        retry: What to do when the origin fails.
        options: Bounds.
        progress: Told how far it is, several times a second, from the calling thread.
        cancelled: Ends the transfer when it is set.

    Returns:
        The manifest with every sha256 as written, and the git-sha1 where that alone was promised.

    Raises:
        SourceError: The bytes could not be had; in time, or not at all.
        ChangedError: The origin's file is not the one that was resolved.
        IntegrityError: A file never verifies.
        ResourceError: The disk is full, or has not the room to begin with.
        StoreError: The folder cannot be used.
    """
    where = TransferFolder.of(folder)
    for file in manifest.files:
        if file.size is None:
            raise SourceError(
                f"the source does not say how large {file.path} is", where=manifest.source
            )
    with disk_errors(where.files):
        where.files.mkdir(parents=True, exist_ok=True)
        where.journal.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(where.journal, manifest)
        try:
            run = _Run(
                manifest,
                origin,
                folder=where,
                journal=journal,
                retry=retry,
                options=options or TransferOptions(),
            )
            return run.finish(progress, cancelled)
        finally:
            journal.close()


class _Run:
    def __init__(
        self,
        manifest: Manifest,
        origin: Origin,
        *,
        folder: TransferFolder,
        journal: Journal,
        retry: Retrying,
        options: TransferOptions,
    ) -> None:
        self._manifest = manifest
        self._options = options
        self._journal = journal
        self._jobs = [
            Job(index, file, file.size or 0, Target(folder.files / file.path, file.size or 0))
            for index, file in enumerate(manifest.files)
        ]
        self._total = sum(job.size for job in self._jobs)
        self._began = time.monotonic()
        self._deadline = None if options.deadline_s is None else self._began + options.deadline_s
        self._board = Board(len(self._jobs))
        self._verifier = Verifier(self._board, manifest, journal, options)
        self._receiver = Receiver(
            self._board,
            origin,
            retry=retry.sleeping(self._board.sleep) if isinstance(retry, Wakeable) else retry,
            journal=journal,
            follower=self._verifier,
            options=options,
            deadline=self._deadline,
        )
        self._resume()
        require_room(
            folder.files, self._total, written=sum(job.target.on_disk() for job in self._jobs)
        )

    def finish(self, progress: ProgressListener, cancelled: threading.Event | None) -> Manifest:
        """Run to the end, good or bad; on the way out all threads have ended or are harmless."""
        self._plan()
        try:
            self._receiver.start()
            self._verifier.start()
            self._wait(progress, cancelled)
        finally:
            self._board.end()
            self._receiver.stop(_END_S)
            self._verifier.stop(_END_S)
            for job in self._jobs:
                job.target.close()
        if self._board.error is not None:
            raise self._board.error
        return replace(
            self._manifest, files=tuple(job.done for job in self._jobs if job.done is not None)
        )

    def _resume(self) -> None:
        for job in self._jobs:
            known = self._journal.extents(job.index)
            if known and not job.target.is_whole_size():
                self._journal.replace(job.index, [])
                known = []
            job.have(known)
            job.resumed = bool(known)

    def _plan(self) -> None:
        """Queue what is missing: big files first, so that their hashes do not trail at the end."""
        for job in sorted(self._jobs, key=lambda job: -job.size):
            size = self._options.part_bytes or part_size(job.size, self._options.workers)
            missing = parts(self._journal.extents(job.index), job.size, size)
            self._board.tasks.extend(Part(job, start, stop) for start, stop in missing)
            if job.size == 0:
                job.target.open()
            if job.resumed or job.size == 0:
                self._verifier.look(job)

    def _wait(self, progress: ProgressListener, cancelled: threading.Event | None) -> None:
        board = self._board
        told = -1.0
        while True:
            with board.lock:
                if board.left and not board.stopping:
                    board.main.wait(_TICK_S)
                over = board.stopping or not board.left
            now = time.monotonic()
            if over or now - told >= _TICK_S:
                progress(self._progress())
                told = now
            if over:
                return
            if cancelled is not None and cancelled.is_set():
                board.fail(SourceError("the fetch was cancelled", hint=_KEPT))
            elif self._deadline is not None and now > self._deadline:
                board.fail(self._too_late())
            self._receiver.watch()

    def _too_late(self) -> SourceError:
        arrived = sum(job.arrived for job in self._jobs)
        return SourceError(
            f"not finished within {self._options.deadline_s:g} s: {arrived:,} of "
            f"{self._total:,} bytes are there",
            where=self._manifest.source,
            hint=_KEPT,
        )

    def _progress(self) -> TransferProgress:
        board = self._board
        with board.lock:
            arrived = sum(job.arrived for job in self._jobs)
            unfinished = [job for job in self._jobs if job.done is None]
            current = next((job for job in unfinished if job.arrived), self._jobs[-1])
            whole = arrived == self._total
            hashed = self._total - sum(job.size - job.digest.hashed for job in unfinished)
            return TransferProgress(
                Phase.VERIFY if whole else Phase.DOWNLOAD,
                current.file.path,
                hashed if whole else arrived,
                self._total,
                files_done=len(self._jobs) - len(unfinished),
                files_total=len(self._jobs),
                received=board.received,
                retries=board.retries,
            )
