"""A file on disk that is written in any order."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pilotage.fetch.transfer.plan import Extent

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_UNSUPPORTED: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class Target:
    """One file of the model. Safe to use from many threads; opened when first needed.

    Args:
        path: Where it lies.
        size: Its bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._fd = -1
        self._lock = threading.Lock()

    def is_whole_size(self) -> bool:
        """Whether there is a plain file of the right size, as an earlier run leaves it."""
        try:
            found = self.path.lstat()
        except OSError:
            return False
        return found.st_size == self.size and self.path.is_file() and not self.path.is_symlink()

    def on_disk(self) -> int:
        """The bytes that the file takes up on the disk already."""
        try:
            return min(self.size, self.path.lstat().st_blocks * 512)
        except OSError:
            return 0

    def open(self) -> int:
        """The descriptor; the file is made, and its room taken, when it is not there.

        Raises:
            OSError: It cannot be made, or the disk has not the room.
        """
        with self._lock:
            if self._fd < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, _FLAGS, 0o666)
                try:
                    if os.fstat(descriptor).st_size != self.size:
                        os.ftruncate(descriptor, 0)
                        _reserve(descriptor, self.size)
                        os.ftruncate(descriptor, self.size)
                except BaseException:
                    os.close(descriptor)
                    raise
                self._fd = descriptor
            return self._fd

    def close(self) -> None:
        """Let go of the descriptor; the file can be opened again."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def write(self, data: memoryview, at: int) -> None:
        """Write `data` at the offset `at`.

        Raises:
            OSError: The disk is full or broken.
        """
        descriptor = self.open()
        while data:
            written = os.pwrite(descriptor, data, at)
            data, at = data[written:], at + written

    def read(self, buffer: memoryview, at: int) -> int:
        """Fill `buffer` with what lies at the offset `at`; the bytes that were there.

        Raises:
            OSError: The disk is broken, or somebody cut the file.
        """
        count = os.preadv(self.open(), [buffer], at)
        if count == 0 and buffer:
            raise OSError(errno.EIO, f"{self.path.name} was cut while it was being read")
        return count

    def holds(self, extent: Extent, buffer: memoryview, going: Callable[[], None]) -> bool:
        """Whether the bytes on disk are those that were received.

        Args:
            extent: Which bytes.
            buffer: Room to read into.
            going: Called now and then; what it raises ends the reading.

        Raises:
            OSError: The disk is broken.
        """
        crc, at = 0, extent.start
        while at < extent.stop:
            going()
            count = self.read(buffer[: min(len(buffer), extent.stop - at)], at)
            crc = zlib.crc32(buffer[:count], crc)
            at += count
        return crc == extent.crc


def _reserve(descriptor: int, size: int) -> None:
    """Take the room on the disk now, where the filesystem can; a full one says so at once.

    Not ``posix_fallocate``: where the filesystem cannot (NFS, Lustre), that writes every block.
    """
    fallocate = getattr(_libc(), "fallocate", None)
    if fallocate is None or size == 0:
        return
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if fallocate(descriptor, 0, 0, size) != 0:
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
