"""Images to the size a model looks at, with the filter its preprocessor names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

_BY_NUMBER = {filter_.value: filter_ for filter_ in Image.Resampling}


def resampling_of(preprocessor: Mapping[str, Any]) -> Image.Resampling:
    """The filter of a ``preprocessor_config.json``; Lanczos where it names none.

    Its numbers are Pillow's own: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming.
    """
    number = preprocessor.get("resample")
    if not isinstance(number, int):
        return Image.Resampling.LANCZOS
    return _BY_NUMBER.get(number, Image.Resampling.LANCZOS)


def resized(image: Image.Image, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
    """The image at `size`, width and height in pixels; itself where it has that size.

    Pillow's filters widen with the scale, so that nothing aliases. Nothing is taken in steps
    (``reducing_gap``, JPEG's ``draft``): a model sees exactly what it would see by itself.
    """
    return image if image.size == size else image.resize(size, filter_)
