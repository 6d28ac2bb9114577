"""Images made up for a load test: each different, all as large as photographs are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from itertools import cycle
from typing import Final, Literal

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from pilotage.errors import UsageError
from pilotage.prove.payloads.image import Image
from pilotage.prove.payloads.seeding import random_for

MAX_PIXELS: Final = 40_000_000
"""The largest image that is made: more than cameras' 8K, and what fits memory easily."""

_MAX_SIDE: Final = 65_500  # JPEG's limit, and then a little, in libjpeg
_BASES: Final = 4
_GRAIN: Final = 12
_TILE: Final = 256
_JPEG_QUALITY: Final = 85


class GeneratedImages:
    """An `ImageSource` of smooth colours, grain and lines as of text.

    Pure noise would be several times as large as a photograph of the same size, and a flat colour
    far smaller, so both the upload and the decoding would be wrong. Drawing is dear, so a few
    images are drawn once and each request gets one of them with a patch of its own: different
    pixels, so that a server that caches what it has seen does not recognise it.

    Args:
        width: In pixels.
        height: In pixels.
        per_request: Images a request.
        file_format: JPEG is what photographs come in; PNG for servers that take nothing else.

    Raises:
        UsageError: The size is not positive, or more than `MAX_PIXELS`.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        per_request: int = 1,
        file_format: Literal["jpeg", "png"] = "jpeg",
    ) -> None:
        check_size(width, height)
        if per_request < 1:
            raise UsageError("at least 1 image a request", where="images")
        self._size = width, height
        self._per_request = per_request
        self._format = file_format

    @property
    def description(self) -> str:
        """What it makes, in a few words for the report."""
        noun = "image" if self._per_request == 1 else "images"
        width, height = self._size
        kind = self._format.upper()
        return f"{self._per_request} generated {kind} {noun} of {width}x{height}"

    def images(self, *, seed: int) -> Iterator[tuple[Image, ...]]:
        """Without end: the images of one request after the other."""
        random_stream = random_for(seed, "images")
        bases = cycle(self._bases)
        while True:
            yield tuple(self._varied(next(bases), random_stream) for _ in range(self._per_request))

    @cached_property
    def _bases(self) -> tuple[Pillow.Image, ...]:
        return tuple(_drawn(self._size, random_for(0, "base", place)) for place in range(_BASES))

    def _varied(self, base: Pillow.Image, random_stream: random.Random) -> Image:
        width, height = self._size
        patch_size = max(1, width // 4), max(1, height // 4)
        colours = Pillow.frombytes("RGB", (8, 8), random_stream.randbytes(8 * 8 * 3))
        corner = (
            random_stream.randrange(width - patch_size[0] + 1),
            random_stream.randrange(height - patch_size[1] + 1),
        )
        image = base.copy()
        image.paste(colours.resize(patch_size, Pillow.Resampling.BICUBIC), corner)
        return encoded(image, self._format)


def check_size(width: int, height: int) -> None:
    """Whether an image of this size can be made.

    Raises:
        UsageError: It cannot: not positive, or too large.
    """
    if width < 1 or height < 1:
        raise UsageError(f"an image cannot be {width}x{height} pixels", where="images")
    if width * height > MAX_PIXELS or max(width, height) > _MAX_SIDE:
        raise UsageError(
            f"an image of {width}x{height} pixels is too large to generate",
            where="images",
            hint=f"At most {MAX_PIXELS // 1_000_000} million pixels and {_MAX_SIDE} a side",
        )


def encoded(image: Pillow.Image, file_format: Literal["jpeg", "png"]) -> Image:
    """`image` as the bytes of a file."""
    buffer = BytesIO()
    if file_format == "jpeg":
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    else:
        # The fastest level: a few per cent larger, several times quicker.
        image.save(buffer, "PNG", compress_level=1)
    return Image(buffer.getvalue(), f"image/{file_format}")


def _drawn(size: tuple[int, int], random_stream: random.Random) -> Pillow.Image:
    width, height = size
    colours = Pillow.frombytes("RGB", (6, 6), random_stream.randbytes(6 * 6 * 3))
    smooth = colours.resize(size, Pillow.Resampling.BICUBIC)
    image = _with_grain(smooth, random_stream)
    draw = ImageDraw.Draw(image)
    line = max(4, height // 32)
    for top in range(height // 4, height * 3 // 4, line):
        left = width // 8
        while left < width * 7 // 8:
            word = random_stream.randint(line, 4 * line)
            box = (left, top, min(left + word, width * 7 // 8), top + line // 2)
            draw.rectangle(box, fill=(30, 30, 34))
            left += word + line // 2
    return image


def _with_grain(image: Pillow.Image, random_stream: random.Random) -> Pillow.Image:
    """A camera's noise, in a tile that repeats: JPEG does not notice repetition."""
    grain = np.frombuffer(random_stream.randbytes(_TILE * _TILE), np.uint8) % (2 * _GRAIN)
    width, height = image.size
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    tiled = np.tile(grain.reshape(_TILE, _TILE), (rows, columns))[:height, :width, None]
    pixels = np.minimum(np.asarray(image), 255 - 2 * _GRAIN) + tiled
    return Pillow.fromarray(pixels)
