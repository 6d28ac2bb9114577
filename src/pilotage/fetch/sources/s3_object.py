"""An S3 object as its head describes it, with the checksums that are of the whole of it."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.fetch.http import ETag

_ARCHIVES: Final = ("GLACIER", "DEEP_ARCHIVE")
_MAX_SIZE: Final = 1 << 53
_MULTIPART: Final = re.compile(r"[0-9a-f]{32}-\d+", re.IGNORECASE)
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class S3Object:
    """One version of one object.

    Attributes:
        key: Its whole key.
        size: Bytes.
        etag: With its quotes, as ``If-Match`` wants it.
        version: None where the bucket keeps none.
        sha256: Of the whole object, if S3 keeps it.
        crc32: Of the whole object, if S3 keeps it; what boto3 uploads has one.
        archived: Whether it must be restored before it can be read.
    """

    key: str
    size: int
    etag: str
    version: str | None = None
    sha256: str | None = None
    crc32: int | None = None
    archived: bool = False

    @staticmethod
    def of_head(key: str, head: Mapping[str, Any]) -> S3Object | None:
        """Read boto3's answer to ``head_object``; None if it has no size or no strong ETag."""
        etag, size = ETag.parse(head.get("ETag")), head.get("ContentLength")
        if etag is None or etag.weak or type(size) is not int or not 0 <= size <= _MAX_SIZE:
            return None
        version = head.get("VersionId")
        restored = 'ongoing-request="false"' in str(head.get("Restore"))
        return S3Object(
            key,
            size,
            str(etag),
            # "null" is the version of objects in buckets that keep none, and can be overwritten.
            version if isinstance(version, str) and version != "null" else None,
            _whole_sha256(head, etag),
            _whole_crc32(head),
            head.get("StorageClass") in _ARCHIVES and not restored,
        )


def crc32_of(path: Path) -> int:
    """The CRC-32 of a file's bytes."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _whole_sha256(head: Mapping[str, Any], etag: ETag) -> str | None:
    """The object's sha256. Of an upload in parts S3 keeps the digest of the parts' digests."""
    kind = head.get("ChecksumType")
    in_parts = kind is None and _MULTIPART.fullmatch(etag.value) is not None
    digest = _decoded(head.get("ChecksumSHA256"), 32)
    return digest.hex() if digest is not None and kind != "COMPOSITE" and not in_parts else None


def _whole_crc32(head: Mapping[str, Any]) -> int | None:
    digest = _decoded(head.get("ChecksumCRC32"), 4)
    known = digest is not None and head.get("ChecksumType") == "FULL_OBJECT"
    return int.from_bytes(digest, "big") if digest is not None and known else None


def _decoded(value: object, length: int) -> bytes | None:
    try:
        digest = base64.b64decode(str(value or ""), validate=True)
    except (binascii.Error, ValueError):  # "…-3": a digest of three digests
        return None
    return digest if len(digest) == length else None
