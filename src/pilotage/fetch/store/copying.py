"""The same bytes a second time on one disk, as cheaply as the filesystem can."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from pilotage.fetch.disk import require_room

_FICLONE: Final = 0x40049409
_PIECE: Final = 64 << 20
_BUFFER: Final = 1 << 20
_NO_LINK: Final = {
    errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL,
}  # fmt: skip
_NO_RANGE_COPY: Final = {
    errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EIO, errno.ETXTBSY,
}  # fmt: skip


def link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`; False when this filesystem cannot.

    Raises:
        FileExistsError: `target` is there.
        FileNotFoundError: `source` is not.
        OSError: The disk failed.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def reflink(source: Path, target: Path) -> bool:
    """Make `target` a new file that shares its blocks with `source`; False when that cannot be.

    Raises:
        FileExistsError: `target` is there.
        OSError: The disk failed.
    """
    with source.open("rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def share(source: Path, target: Path) -> None:
    """Have the bytes of the finished file `source` at `target`: a link, a reflink, or a copy.

    Raises:
        FileExistsError: `target` is there.
        ResourceError: A copy is needed and does not fit on the disk.
        OSError: The disk failed.
    """
    if not link(source, target):
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file that may have holes; blocks are shared where the filesystem can.

    Raises:
        FileExistsError: `target` is there.
        ResourceError: It does not fit on the disk.
        OSError: The disk failed.
    """
    if reflink(source, target):
        return
    require_room(target.parent, allocated(source))
    with source.open("rb") as old, target.open("xb") as new:
        size = os.fstat(old.fileno()).st_size
        position = 0
        while position < size:
            start, stop = _data(old.fileno(), position, size)
            _copy_range(old.fileno(), new.fileno(), start, stop)
            position = stop
        os.ftruncate(new.fileno(), size)


def allocated(path: Path) -> int:
    """The bytes that a file takes on the disk, holes left out."""
    return path.stat().st_blocks * 512


def _data(descriptor: int, position: int, size: int) -> tuple[int, int]:
    """The next stretch of a file that is no hole; empty at the end."""
    try:
        start = os.lseek(descriptor, position, os.SEEK_DATA)
        return start, os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole is left
            return size, size
        return position, size  # a filesystem that knows no holes


def _copy_range(old: int, new: int, start: int, stop: int) -> None:
    while start < stop:
        try:
            done = os.copy_file_range(old, new, min(_PIECE, stop - start), start, start)
        except OSError as error:
            if error.errno not in _NO_RANGE_COPY:
                raise
            done = os.pwrite(new, os.pread(old, min(_BUFFER, stop - start), start), start)
        if done == 0:
            return  # the file became shorter under us; its digest will tell
        start += done
