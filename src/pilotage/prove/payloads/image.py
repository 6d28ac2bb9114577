"""An image as it is sent: encoded bytes and their media type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pilotage.errors import UsageError

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
"""The largest image file that is sent; servers take a few tens of MB at most."""


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded image.

    Attributes:
        data: The bytes of its file.
        media_type: Such as ``image/jpeg``.
    """

    data: bytes
    media_type: str

    @property
    def suffix(self) -> str:
        """The suffix its file would have, such as ``jpeg``."""
        return self.media_type.partition("/")[2]


class ImageSource(Protocol):
    """Makes the images of a run: the same ones for the same seed."""

    @property
    def description(self) -> str:
        """What it makes, in a few words for the report."""
        ...

    def images(self, *, seed: int) -> Iterator[tuple[Image, ...]]:
        """Without end: the images of one request after the other."""
        ...


def read_image(path: Path, *, where: str) -> Image:
    """The image in the file at `path`.

    Raises:
        UsageError: The file is missing, cannot be read, is too large, or is no image of a known
            kind. `where` is named as the place that asked for it.
    """
    kind = image_kind(path, where=where)
    try:
        return Image(path.read_bytes(), kind)
    except OSError as error:
        raise UsageError(
            f"the image {path} cannot be read ({error.strerror})", where=where
        ) from None


def image_kind(path: Path, *, where: str) -> str:
    """The media type of the image at `path`, by its first bytes; errors as of `read_image`."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UsageError(
            f"the image {path} cannot be read ({error.strerror})", where=where
        ) from None
    if size > MAX_IMAGE_BYTES:
        raise UsageError(f"the image {path} is larger than 64 MiB", where=where)
    kind = _media_type(head)
    if kind is None:
        raise UsageError(
            f"{path} is no JPEG, PNG, WebP or GIF image", where=where, hint="Convert it first"
        )
    return kind


def _media_type(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None
