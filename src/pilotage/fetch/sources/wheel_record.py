"""A wheel's own list of its files, ``*.dist-info/RECORD``, with their digests.

The format is a CSV of path, ``sha256=`` and the digest in URL-safe base64, and size (the binary
distribution format of packaging.python.org, read 2026-11).
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pilotage.errors import SourceError

_MAX_BYTES: Final = 64 << 20


def recorded_files(wheel: Path, *, where: str) -> Mapping[str, str]:
    """The wheel's files and their sha256 as hex; those without one in the list are left out.

    Raises:
        SourceError: The wheel is no readable zip archive, or holds no readable list.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [
                info
                for info in archive.infolist()
                if info.filename.endswith(".dist-info/RECORD") and info.filename.count("/") == 1
            ]
            if len(names) != 1 or names[0].file_size > _MAX_BYTES:
                raise SourceError("the wheel has no list of its files (RECORD)", where=where)
            text = archive.read(names[0]).decode("utf-8")
        return {
            row[0]: digest
            for row in csv.reader(io.StringIO(text))
            if len(row) >= 2 and (digest := _hex(row[1])) is not None
        }
    except (
        zipfile.BadZipFile,
        zlib.error,
        csv.Error,
        EOFError,
        NotImplementedError,
        RuntimeError,  # an encrypted member
        UnicodeDecodeError,
        OSError,
    ) as error:
        raise SourceError(
            f"the wheel's list of its files cannot be read ({str(error)[:100]})", where=where
        ) from error


def _hex(digest: str) -> str | None:
    kind, _, encoded = digest.partition("=")
    encoded = encoded.rstrip("=")
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (ValueError, binascii.Error):
        return None
    return raw.hex() if kind == "sha256" and len(raw) == 32 else None
