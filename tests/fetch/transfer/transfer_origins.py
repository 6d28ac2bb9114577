"""An origin in this process that fails on demand, and a retry policy that wastes no time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.origin import Body, ChangedError, NoRangesError, TransientError
from pilotage.fetch.retry import Retry, RetryPolicy

KINDS = ("refuse", "short", "reset", "socket", "corrupt", "hang", "slow")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request, `after` so many bytes of it."""

    kind: str
    after: int = 0


def entry(path: str, data: bytes, *, kind: str = "sha256") -> FileEntry:
    if kind == "sha256":
        return FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
    if kind == "git":
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return FileEntry(path, len(data), None, git)
    return FileEntry(path, len(data))


def manifest_of(files: dict[str, bytes], *, kind: str = "sha256", commit: str = "rev1") -> Manifest:
    entries = tuple(entry(path, data, kind=kind) for path, data in files.items())
    return Manifest("test://model", commit, entries)


class FaultyOrigin:
    """Serves `files`; request number n meets ``plan(n, file, start, stop)``, a Fault or None."""

    name = "https://origin.test"

    def __init__(
        self,
        files: dict[str, bytes],
        plan: Callable[[int, str, int, int], Fault | None] = lambda *_: None,
        *,
        ranges: bool = True,
        cuttable: bool = True,
        piece: int = 1 << 20,
    ) -> None:
        self.files = files
        self.plan = plan
        self.ranges = ranges
        self.cuttable = cuttable
        self.piece = piece
        self.requests: list[tuple[str, int, int]] = []
        self.served = 0
        self.release = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def read(self, file: FileEntry, start: int, stop: int) -> Iterator[Body]:
        with self._lock:
            number = len(self.requests)
            self.requests.append((file.path, start, stop))
        data = self.files[file.path]
        assert 0 <= start < stop <= len(data)
        fault = self.plan(number, file.path, start, stop)
        if fault is not None and fault.kind == "changed":
            raise ChangedError("the file has changed", where=self.name)
        if fault is not None and fault.kind == "gone":
            raise SourceError("no such file", where=self.name)
        if fault is not None and fault.kind == "refuse":
            raise TransientError("503", where=self.name)
        if not self.ranges and (start, stop) != (0, len(data)):
            raise NoRangesError("ranges are ignored", where=self.name)
        body = _Body(self, memoryview(data)[start:stop], fault)
        yield body if self.cuttable else _Uncuttable(body)

    def count(self, bytes_: int) -> None:
        with self._lock:
            self.served += bytes_


class _Body:
    def __init__(self, origin: FaultyOrigin, data: memoryview, fault: Fault | None) -> None:
        self._origin = origin
        self._data = data
        self._fault = fault
        self._at = 0
        self._cut = threading.Event()

    def readinto(self, buffer: memoryview) -> int:
        fault, limit = self._fault, len(self._data)
        if fault is not None and fault.kind not in {"corrupt", "slow"}:
            limit = min(limit, fault.after)
            if self._at >= limit:
                return self._fail(fault)
        if fault is not None and fault.kind == "slow":
            time.sleep(0.02)
        count = min(len(buffer), limit - self._at, self._origin.piece)
        buffer[:count] = self._data[self._at : self._at + count]
        if fault is not None and fault.kind == "corrupt" and count:
            place = fault.after % len(self._data) - self._at
            if 0 <= place < count:
                buffer[place] ^= 0x55
        self._at += count
        self._origin.count(count)
        return count

    def cut(self) -> None:
        self._cut.set()

    def _fail(self, fault: Fault) -> int:
        if fault.kind == "short":
            return 0
        if fault.kind == "reset":
            raise TransientError("connection reset", where=self._origin.name)
        if fault.kind == "socket":
            raise ConnectionResetError(104, "reset by peer")
        assert fault.kind == "hang"
        while not self._origin.release.is_set():
            if self._cut.wait(0.01):
                raise ValueError("I/O operation on closed file")
        return 0


class _Uncuttable:
    """The same body for a client library that offers no way to interrupt it."""

    def __init__(self, body: _Body) -> None:
        self._body = body

    def readinto(self, buffer: memoryview) -> int:
        return self._body.readinto(buffer)


class QuickRetry(Retry):
    """The real policy on a clock that its waits move forward."""

    def __init__(self, attempts: int = 6) -> None:
        self._skipped = 0.0
        super().__init__(
            RetryPolicy(attempts=attempts, budget_s=1e9),
            clock=lambda: time.monotonic() + self._skipped,
            sleep=self._skip,
        )

    def _skip(self, seconds: float) -> None:
        self._skipped += seconds
        time.sleep(0)

    def sleeping(self, sleep: Callable[[float], None]) -> Retry:
        return self  # its waits take no time: there is nothing to wake
