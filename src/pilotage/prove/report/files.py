"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from pilotage.errors import UsageError


def write_file(path: Path, content: bytes | str) -> Path:
    """Write ``content`` beside ``path`` and rename it there; the folder is made if need be.

    A reader sees the old file or the new one, and a full disk leaves the old one.

    Raises:
        UsageError: The file cannot be written there.
    """
    data = content.encode() if isinstance(content, str) else content
    # Not tempfile: its files are private, and a report is made to be handed on.
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staged.open("xb") as file:
                file.write(data)
            staged.replace(path)
        finally:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(path),
            hint="Name another folder.",
        ) from error
    return path
