"""The disk under the cache folder: room on it, and its failures said in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotage.errors import PilotageError, ResourceError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CHOOSE = "Set PILOTAGE_HOME to a folder that you can write to"
_MAKE_ROOM = (
    "`pilotage cache prune --dry-run` shows what could go; or set PILOTAGE_HOME to a folder on a "
    "larger disk"
)


def require_room(folder: Path, needed: int, *, written: int = 0) -> None:
    """Refuse when `needed` bytes, of which `written` are there already, do not fit on the disk.

    Raises:
        ResourceError: The disk has less room; both numbers are in the message.
    """
    free = shutil.disk_usage(folder).free + written
    if needed > free:
        raise ResourceError(
            f"not enough disk for the model: {needed:,} bytes are needed, {free:,} are free",
            where=str(folder),
            hint=_MAKE_ROOM,
        )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors below `folder` into errors for people.

    Raises:
        ResourceError: The disk, or the user's share of it, is full.
        StoreError: The folder cannot be created, read or written.
    """
    try:
        yield
    except ResourceError as error:
        # Found out somewhere below; people know the cache folder, not its insides.
        error.where = str(folder)
        raise
    except BrokenPipeError:
        raise  # a listener's terminal went away, not the disk
    except OSError as error:
        raise _explained(error, folder) from error


def is_full(error: BaseException) -> bool:
    """Whether it says that the disk, or the user's share of it, has not the room."""
    return isinstance(error, ResourceError) or getattr(error, "errno", None) in _FULL


def _explained(error: OSError, folder: Path) -> PilotageError:
    if error.errno in _FULL:
        return ResourceError(
            f"the disk became full while the model was being stored{_free(folder)}",
            where=str(folder),
            hint=f"Nothing was published, and fetching again goes on from here. {_MAKE_ROOM}",
        )
    reason = {
        errno.EACCES: "you have no permission to write the cache folder",
        errno.EPERM: "the cache folder may not be written",
        errno.EROFS: "the cache folder is on a read-only filesystem",
        errno.ENOTDIR: "the cache folder's path leads through a file",
        errno.EEXIST: "the cache folder's path is a file",
    }.get(error.errno or 0, f"the cache folder cannot be used: {error.strerror or error}")
    return StoreError(reason, where=str(folder), hint=_CHOOSE)


def _free(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free:,} bytes are free)"
    except OSError:
        return ""
