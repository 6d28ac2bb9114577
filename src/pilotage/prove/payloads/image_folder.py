"""A user's own images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pilotage.errors import UsageError
from pilotage.prove.payloads.image import Image, image_kind, read_image
from pilotage.prove.payloads.seeding import random_for

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})


class ImageFolder:
    """An `ImageSource` of the images in a folder, over and over, in an order by the seed.

    Files are sent as they are. Only those directly in the folder count, and only those named
    ``.jpg``, ``.jpeg``, ``.png``, ``.webp`` or ``.gif``.

    Args:
        path: The folder.
        per_request: Images a request.

    Raises:
        UsageError: There is no such folder, no image in it, or a file that is none.
    """

    def __init__(self, path: Path, *, per_request: int = 1) -> None:
        if per_request < 1:
            raise UsageError("at least 1 image a request", where="images")
        try:
            entries = sorted(path.iterdir())
        except OSError as error:
            raise UsageError(
                f"the folder of images cannot be read ({error.strerror})", where=str(path)
            ) from None
        self._files = [
            entry for entry in entries if entry.suffix.lower() in _SUFFIXES and entry.is_file()
        ]
        if not self._files:
            raise UsageError(
                "there are no images in this folder",
                where=str(path),
                hint=f"Files that end with {', '.join(sorted(_SUFFIXES))} count",
            )
        for file in self._files:
            image_kind(file, where=str(path))
        self._path = path
        self._per_request = per_request

    @property
    def description(self) -> str:
        """What it makes, in a few words for the report."""
        each = f"{self._per_request} a request"
        return f"images from {self._path.name or self._path} ({len(self._files)} files, {each})"

    def images(self, *, seed: int) -> Iterator[tuple[Image, ...]]:
        """Without end: the images of one request after the other.

        Raises:
            UsageError: A file has gone since.
        """
        files = self._in_order(seed)
        while True:
            yield tuple(
                read_image(next(files), where=str(self._path)) for _ in range(self._per_request)
            )

    def _in_order(self, seed: int) -> Iterator[Path]:
        order = list(self._files)
        random_for(seed, "image folder").shuffle(order)
        while True:
            yield from order
