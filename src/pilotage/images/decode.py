"""An image file into RGB pixels, at the size a model looks at."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from pilotage.images.geometry import VisionInput
from pilotage.images.header import ImageHeader, check_scans, read_header
from pilotage.images.limits import ImageError, ImageLimits
from pilotage.images.resize import resampling_of, resized

_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})


@dataclass(frozen=True, slots=True)
class Pixels:
    """``height`` rows of ``width`` RGB pixels, a byte a channel."""

    width: int
    height: int
    data: bytes


def decode(file: BinaryIO, limits: ImageLimits, vision: VisionInput) -> Pixels:
    """The first frame of an image: turned upright, on white, RGB, fitted to the model.

    Args:
        file: Holds the image file from its beginning; may be sought in.
        limits: Checked by the header, before anything is decoded.
        vision: Says to which size and with which filter.

    Raises:
        ImageError: It is not taken, or damaged.
    """
    header = read_header(file)
    limits.check_size(header.width, header.height)
    check_scans(file, header)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, and about sizes: they are checked
            image = _upright(file, header, limits)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"the {header.kind} image takes too much memory to decode") from None
    except Exception as error:  # noqa: BLE001 - a decoder fails on hostile bytes in any way
        raise ImageError(f"the {header.kind} image is damaged: {_said(error)}") from None
    size = _fitted(image, limits, vision)
    fitted = resized(image, size, resampling_of(vision.preprocessor))
    return Pixels(fitted.width, fitted.height, fitted.tobytes())


def _upright(file: BinaryIO, header: ImageHeader, limits: ImageLimits) -> Image.Image:
    with Image.open(file, formats=[header.kind.upper()]) as opened:
        limits.check_size(*opened.size)
        opened.load()
        with suppress(Exception):  # unreadable metadata turns nothing
            ImageOps.exif_transpose(opened, in_place=True)
        return _as_rgb(opened)


def _fitted(image: Image.Image, limits: ImageLimits, vision: VisionInput) -> tuple[int, int]:
    # Models that fix the short side would make a thread of a few pixels enormous.
    width, height = (max(1, side) for side in vision.fitted(*image.size))
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the image is {image.width:,} x {image.height:,} pixels: too long and narrow, the "
            f"model would look at it as {width:,} x {height:,}"
        )
    return width, height


def _as_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode; what is transparent becomes white, as on a page."""
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion cuts off at 255 instead of scaling.
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)  # a colour of 16 bits, which no pixel has now
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _said(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header cannot be read"  # Pillow's text is about a Python object
    return " ".join(str(error).split())[:200] or type(error).__name__
