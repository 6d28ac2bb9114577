"""The workflow's file: written whole, and never over what somebody else wrote or changed."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from pilotage.errors import StoreError, UsageError
from pilotage.units import printable

_HEAD: Final = (
    "# Written by `pilotage ship pipeline`, which writes it anew; a changed file is left alone.\n"
    "# SHA-256 of what follows: {digest}\n"
)
_OURS: Final = re.compile(
    re.escape(_HEAD).replace(r"\{digest\}", "(?P<digest>[0-9a-f]{64})") + "(?P<rest>.*)", re.DOTALL
)


def write_workflow(path: Path, text: str, *, force: bool = False) -> bool:
    """Write a workflow, with a mark by which it is known again.

    Args:
        path: Of the file; its folder is made.
        text: Without the mark.
        force: Overwrite whatever is there.

    Returns:
        Whether the file changed.

    Raises:
        UsageError: Something else is there, or it was edited since it was written.
        StoreError: It cannot be written.
    """
    whole = marked(text)
    try:
        there = path.is_symlink() or path.exists()
        before = path.read_bytes() if there and path.is_file() else None
        if before == whole.encode():
            return False
        if there and not force:
            _check_ours(path, before)
        if there and before is None:
            raise UsageError("is no file", where=printable(str(path)), hint="Choose another (-o)")
        _replace(path, whole)
    except OSError as error:
        raise StoreError(
            f"cannot be written: {(error.strerror or 'input/output error').lower()}",
            where=printable(str(error.filename or path)),
        ) from None
    return True


def marked(text: str) -> str:
    """The text as it lies in the file, below the mark."""
    return _HEAD.format(digest=hashlib.sha256(text.encode()).hexdigest()) + text


def _check_ours(path: Path, before: bytes | None) -> None:
    found = _OURS.fullmatch((before or b"").decode("utf-8", "replace"))
    if found and hashlib.sha256(found["rest"].encode()).hexdigest() == found["digest"]:
        return
    said = "was edited since it was written" if found else "was not written by this command"
    raise UsageError(
        f"{said}, and is not overwritten",
        where=printable(str(path)),
        hint="Pass --force to overwrite it, or -o to write another",
    )


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".pilotage-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
