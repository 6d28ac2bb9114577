"""One file of a transfer: what of it has arrived, and how far it is hashed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.transfer.plan import Extent
from pilotage.fetch.transfer.target import Target

if TYPE_CHECKING:
    from pilotage.fetch.transfer.repair import Repair


class Job:
    """The state of one file, under the lock of the transfer's `Board`.

    Attributes:
        index: The file's place in the manifest.
        file: What was promised.
        size: Its bytes.
        target: The file on disk.
        arrived: Bytes on disk.
        digest: The hash so far.
        resumed: Whether an earlier run wrote part of it.
        checked: Whether what is on disk was compared with the journal's checksums.
        whole: Whether the origin gives it only whole, from the first byte on.
        repair: The second opinion, once the digest turned out wrong.
        done: What it is, once it is there and verified.
    """

    def __init__(self, index: int, file: FileEntry, size: int, target: Target) -> None:
        self.index = index
        self.file = file
        self.size = size
        self.target = target
        self.arrived = 0
        self.digest = Digest(file, size)
        self.resumed = False
        self.checked = False
        self.whole = False
        self.repair: Repair | None = None
        self.done: FileEntry | None = None
        self._runs: dict[int, int] = {}
        self._anchor = 0

    def have(self, extents: Iterable[Extent]) -> None:
        """Set what is on disk; the hash begins anew."""
        self._runs = {extent.start: extent.stop for extent in extents}
        self.arrived = sum(stop - start for start, stop in self._runs.items())
        self._anchor = 0
        self.digest = Digest(self.file, self.size)

    def grow(self, start: int, stop: int) -> None:
        """Note that the bytes from `start`, a part's first, to `stop` are on disk now."""
        self.arrived += stop - self._runs.get(start, start)
        self._runs[start] = stop

    def frontier(self) -> int:
        """The first byte that is not on disk."""
        at = self._runs.get(self._anchor, self._anchor)
        while (stop := self._runs.get(at, at)) > at:
            self._anchor, at = at, stop
        return at


class Digest:
    """The hash of a file, taken in order.

    Attributes:
        hashed: The bytes that are in it.
        claimed: Whether a thread is adding to it: only that one may.
        queued: Whether it waits for a hashing thread.
        judged: Whether somebody took it, whole, to compare it with what was promised.
    """

    def __init__(self, file: FileEntry, size: int) -> None:
        self.hashed = 0
        self.claimed = False
        self.queued = False
        self.judged = False
        self._sha256 = hashlib.sha256()
        # git's id of a blob covers its length too.
        self._git = (
            hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
            if file.sha256 is None and file.git_sha1 is not None
            else None
        )

    def update(self, data: memoryview) -> None:
        """Add the next bytes; lets other threads run."""
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)
        self.hashed += len(data)

    def entry(self, file: FileEntry, size: int) -> FileEntry:
        """The file as it was hashed."""
        git = self._git.hexdigest() if self._git is not None else None
        return FileEntry(file.path, size, self._sha256.hexdigest(), git)


class Task:
    """Bytes ``[start, stop)`` of one file that a thread is to read from the origin.

    The watchdog looks at it from outside. A task that is revoked writes nothing any more, whatever
    its thread is still blocked in: writing and revoking take `lock`.

    Attributes:
        job: The file.
        start: First byte.
        stop: The byte after the last.
        position: The first byte that has not arrived.
        crc: CRC-32 of the bytes that arrived.
        stalls: How often it was taken from a thread that would not come back.
        revoked: Set when it is no longer this task's to write.
        heard: When the origin was last heard of while it is waited for, else None.
        stalled_s: Seconds without a byte after which the watchdog cut the body; 0 if it did not.
        body: What is being read, for the watchdog to cut.
    """

    def __init__(self, job: Job, start: int, stop: int, *, stalls: int = 0) -> None:
        self.job = job
        self.start = start
        self.stop = stop
        self.position = start
        self.crc = 0
        self.stalls = stalls
        self.lock = threading.Lock()
        self.revoked = False
        self.abandoned = False
        self.heard: float | None = None
        self.stalled_s = 0.0
        self.body: object | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file, which an origin without ranges gives as well."""
        return self.start == 0 and self.stop == self.job.size

    def hear(self) -> None:
        """Note a sign of life."""
        self.heard = time.monotonic()


class Part(Task):
    """A task whose bytes go to the disk.

    Attributes:
        rewrite: Whether it goes over bytes that are counted as arrived already.
        journalled: The first byte that is not in the journal.
    """

    def __init__(
        self, job: Job, start: int, stop: int, *, stalls: int = 0, rewrite: bool = False
    ) -> None:
        super().__init__(job, start, stop, stalls=stalls)
        self.rewrite = rewrite
        self.journalled = start

    @property
    def extent(self) -> Extent:
        """What has arrived of it."""
        return Extent(self.start, self.position, self.crc)


class Probe(Task):
    """A task whose bytes are only compared with what is on disk, by their checksum.

    Attributes:
        extent: What is on disk.
    """

    def __init__(self, job: Job, extent: Extent, *, stalls: int = 0) -> None:
        super().__init__(job, extent.start, extent.stop, stalls=stalls)
        self.extent = extent
