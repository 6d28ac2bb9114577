"""sha256 of files and streams in bounded memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from pilotage.fetch.progress import Phase, Progress, ProgressListener, unheard

CHUNK = 1 << 20


def sha256_of(path: Path, progress: ProgressListener = unheard) -> str:
    """The sha256 of a file's bytes as hex; reports `Phase.VERIFY`."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress(Progress(Phase.VERIFY, path.name, file.tell(), total))
    return digest.hexdigest()


def copy_hashed(
    source: IO[bytes], target: IO[bytes], progress: ProgressListener, *, name: str, total: int
) -> tuple[int, str]:
    """Copy a stream while hashing it; reports `Phase.UNPACK`.

    Returns:
        The bytes copied and their sha256 as hex.

    Raises:
        EOFError: `source` ended before `total` bytes.
    """
    digest = hashlib.sha256()
    done = 0
    while chunk := source.read(CHUNK):
        target.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        progress(Progress(Phase.UNPACK, name, done, total))
    if done < total:
        raise EOFError(f"{name} ends after {done:,} of {total:,} bytes")
    return done, digest.hexdigest()
