"""Digests that lie beside a model in a bucket: ``SHA256SUMS`` or ``manifest.json``.

S3 keeps a sha256 of objects that were uploaded with one, in one piece. For all others, these files
can name it: ``SHA256SUMS`` as ``sha256sum`` writes it, ``manifest.json`` as
``{"files": [{"path": …, "size": …, "sha256": …}]}``. A ``manifest.json`` of another form is some
other program's, and says nothing here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

NAMES: Final = ("SHA256SUMS", "manifest.json")
"""In order of preference."""

MAX_BYTES: Final = 16 << 20

_LINE: Final = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(\S.*)")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Promise:
    """What such a file says of another one.

    Attributes:
        sha256: 64 lower-case hex digits.
        size: Bytes; None where it is not said.
    """

    sha256: str
    size: int | None = None


def read_sums(name: str, data: bytes) -> dict[str, Promise]:
    """The promises of a file of digests, by relative path; empty if it is none.

    Args:
        name: One of `NAMES`.
        data: Its bytes.
    """
    return _of_json(data) if name.endswith(".json") else _of_lines(data)


def _of_lines(data: bytes) -> dict[str, Promise]:
    lines = data.decode("utf-8", errors="replace").splitlines()
    found = (_LINE.fullmatch(line.rstrip()) for line in lines)
    return {match[2]: Promise(match[1].lower()) for match in found if match is not None}


def _of_json(data: bytes) -> dict[str, Promise]:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    listed = tree.get("files") if isinstance(tree, dict) else None
    promises: dict[str, Promise] = {}
    for entry in listed if isinstance(listed, list) else ():
        promise = _of_entry(entry)
        if promise is not None:
            promises[str(entry["path"])] = promise
    return promises


def _of_entry(entry: Any) -> Promise | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return None
    sha256, size = str(entry.get("sha256")).lower(), entry.get("size")
    if not _SHA256.fullmatch(sha256):
        return None
    return Promise(sha256, size if type(size) is int else None)
