"""The key file on disk: read whole, replaced whole, changed by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pilotage.errors import StoreError

LOCK_TIMEOUT_S = 10.0
MAX_FILE_BYTES = 16 << 20

Signature = tuple[int, int, int]
"""What changes when a file is replaced: modification time in ns, size in bytes, inode."""


def signature_of(path: Path) -> Signature | None:
    """The file's signature, or ``None`` if there is no such file."""
    try:
        return _signature(path.stat())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from None


def read(path: Path) -> tuple[Signature | None, bytes]:
    """The file's signature and content; ``(None, b"")`` if there is no such file.

    Raises:
        StoreError: It cannot be read, is no regular file, is absurdly large, or can be written by
            other users.
    """
    try:
        # Non-blocking, so that a named pipe in the file's place cannot hang the server.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise unusable(path, "it is not a regular file")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise StoreError(
                    "other users can write the key file, and so let themselves in",
                    where=str(path),
                    hint=f"Run `chmod 600 {path}`.",
                )
            if status.st_size > MAX_FILE_BYTES:
                raise unusable(path, f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return _signature(status), file.read()
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None, b""
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from None


def write(path: Path, content: bytes) -> None:
    """Replace the file in one step, mode 0600: a reader finds the old content or the new.

    Raises:
        StoreError: It cannot be written; the old content is still there.
    """
    target = Path(os.path.realpath(path))  # keep a symbolic link, replace what it points to
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that change the file out; waits for them 10 s at most.

    Raises:
        StoreError: The lock cannot be had.
    """
    # flock rather than a file that marks the lock: it goes with its process, however that ends.
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        _take_lock(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, lock: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another process has held the lock for {LOCK_TIMEOUT_S:g} s",
                    where=str(lock),
                    hint="Let it finish or end it, then try again.",
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _unwritable(lock, error) from None
        else:
            return


def unusable(path: Path, reason: str) -> StoreError:
    """The error of a key file that is there and cannot be used."""
    return StoreError(
        f"the key file cannot be used ({reason})",
        where=str(path),
        hint="Restore it from a copy, or move it away and add the keys anew.",
    )


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the key file cannot be written ({error.strerror or error})",
        where=str(path),
        hint="Make room or fix the folder's permissions, or name another file.",
    )


def _signature(status: os.stat_result) -> Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino
