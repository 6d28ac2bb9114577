"""Which images are taken, and the error that says why one is not."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.errors import UsageError


class ImageError(UsageError, ValueError):
    """An image is not taken: of another kind, too large, damaged, or not to be had."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a client may send.

    Attributes:
        max_bytes: Longest image file.
        max_pixels: Most pixels of an image, by its header, before anything is decoded.
        max_count: Most images a request.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 40_000_000
    max_count: int = 8

    def check_size(self, width: int, height: int) -> None:
        """Check an image's size in pixels.

        Raises:
            ImageError: It has too many pixels.
        """
        if width * height > self.max_pixels:
            raise ImageError(
                f"the image is {width:,} x {height:,} pixels, more than the {self.max_pixels:,} "
                "that are taken"
            )

    def too_long(self) -> ImageError:
        """The error for a file of too many bytes."""
        return ImageError(f"the image is longer than the {self.max_bytes:,} bytes that are taken")
