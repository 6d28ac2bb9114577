"""From an image to the tiles that Mllama's vision encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from pilotage.images.mllama import TileGrid

_MEAN: Final = (0.5, 0.5, 0.5)
_STD: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class TiledImages:
    """The images of one prompt.

    Attributes:
        pixels: ``[images, max_tiles, 3, tile, tile]`` float32, normalised; unused tiles are 0.
        ratio_ids: ``[images]``: the number of each image's arrangement of tiles.
        mask: ``[images, max_tiles]``: 1 for a tile that is used.
        counts: Tiles that each image uses.
    """

    pixels: NDArray[np.float32]
    ratio_ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    counts: tuple[int, ...]


def tile_images(
    images: list[tuple[int, int, bytes]], grid: TileGrid, preprocessor: Mapping[str, Any]
) -> TiledImages:
    """Cut images into normalised tiles.

    An image that has not the size that `TileGrid.fitted` gives is scaled first. Padding is black,
    and is normalised like the rest.

    Args:
        images: Width, height and RGB bytes of each.
        grid: The model's tiles.
        preprocessor: Its ``preprocessor_config.json``: mean, deviation, rescaling, filter.
    """
    side, most = grid.tile, grid.max_tiles
    pixels = np.zeros((len(images), most, 3, side, side), np.float32)
    mask = np.zeros((len(images), most), np.int64)
    ids, counts = [], []
    for number, (width, height, rgb) in enumerate(images):
        rows, columns = grid.arrangement(width, height)
        canvas = np.zeros((rows * side, columns * side, 3), np.uint8)
        scaled = _scaled(width, height, rgb, grid.fitted(width, height), preprocessor)
        canvas[: scaled.shape[0], : scaled.shape[1]] = scaled
        cut = _normalised(canvas, preprocessor).reshape(rows, side, columns, side, 3)
        tiles = cut.transpose(0, 2, 4, 1, 3).reshape(rows * columns, 3, side, side)
        pixels[number, : len(tiles)] = tiles
        mask[number, : len(tiles)] = 1
        ids.append(grid.number((rows, columns)))
        counts.append(len(tiles))
    return TiledImages(pixels, np.array(ids, np.int64), mask, tuple(counts))


def _scaled(
    width: int, height: int, rgb: bytes, size: tuple[int, int], preprocessor: Mapping[str, Any]
) -> NDArray[np.uint8]:
    array = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)
    if size == (width, height):
        return array
    resample = Pillow.Resampling(preprocessor.get("resample", Pillow.Resampling.BILINEAR))
    return np.asarray(Pillow.fromarray(array).resize(size, resample))


def _normalised(canvas: NDArray[np.uint8], preprocessor: Mapping[str, Any]) -> NDArray[np.float32]:
    values = canvas.astype(np.float32)
    if preprocessor.get("do_rescale", True):
        values *= np.float32(preprocessor.get("rescale_factor", 1 / 255))
    if preprocessor.get("do_normalize", True):
        values -= np.array(preprocessor.get("image_mean") or _MEAN, np.float32)
        values /= np.array(preprocessor.get("image_std") or _STD, np.float32)
    return values
