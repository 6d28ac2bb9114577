"""Pictures made ready for training: drawn and cut into tiles once, kept as bytes."""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from scripts.shapes.eyes import MAX_TILES, PREPROCESSOR, TILE
from scripts.shapes.labels import label_patches
from scripts.shapes.pictures import make_picture
from scripts.shapes.scene import Scene

from pilotage.images.mllama import TileGrid
from pilotage.images.tiles import tile_images


@dataclass(frozen=True)
class Album:
    """Pictures 0 to n - 1 of one seed.

    Attributes:
        seed: Of the pictures.
        scenes: What each shows.
        tiles: Pixel levels, uint8 of shape (n, tiles, channels, rows, columns).
        aspect_ratio_ids: Which arrangement of tiles each has, of shape (n,).
        tile_counts: Tiles that each fills, of shape (n,); the others are blank.
        labels: What each patch shows: `label_patches` of each, of shape (n, 3, tiles, patches).
    """

    seed: int
    scenes: tuple[Scene, ...]
    tiles: np.ndarray[Any, Any]
    aspect_ratio_ids: np.ndarray[Any, Any]
    tile_counts: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]

    def pixel_values(self, indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Normalised levels of some pictures, as the model takes them: float32."""
        mean = np.array(PREPROCESSOR["image_mean"], np.float32)[:, None, None] * 255
        std = np.array(PREPROCESSOR["image_std"], np.float32)[:, None, None] * 255
        filled = np.arange(MAX_TILES) < self.tile_counts[indices][:, None]
        values = (self.tiles[indices].astype(np.float32) - mean) / std
        return np.asarray(values * filled[:, :, None, None, None], np.float32)


def make_album(seed: int, count: int, processes: int = 2, *, travelled: bool = True) -> Album:
    """Draws pictures 0 to `count` - 1 of `seed`.

    Args:
        seed: Of the pictures.
        count: How many.
        processes: That draw.
        travelled: Some as they may arrive: through JPEG, or scaled before.
    """
    with ProcessPoolExecutor(processes) as pool:
        entry = partial(_entry, seed, travelled)
        entries = list(pool.map(entry, range(count), chunksize=200))
    return Album(
        seed=seed,
        scenes=tuple(entry[0] for entry in entries),
        tiles=np.stack([entry[1] for entry in entries]),
        aspect_ratio_ids=np.array([entry[2] for entry in entries], np.int64),
        tile_counts=np.array([entry[3] for entry in entries], np.int64),
        labels=np.stack([entry[4] for entry in entries]),
    )


def _entry(
    seed: int, travelled: bool, index: int
) -> tuple[Scene, np.ndarray[Any, Any], int, int, np.ndarray[Any, Any]]:
    picture = make_picture(seed, index)
    image = picture.image
    if travelled:
        image = _travelled(image, np.random.default_rng([seed, index, 1]))
    levels = {**PREPROCESSOR, "do_rescale": False, "do_normalize": False}
    # The server's own preprocessing, so that training sees what serving will show.
    grid = TileGrid(TILE, MAX_TILES)
    tiled = tile_images([(image.width, image.height, image.tobytes())], grid, levels)
    labels = label_patches(picture, grid.fitted(*image.size), grid.arrangement(*image.size))
    return (
        picture.scene,
        tiled.pixels[0].astype(np.uint8),
        int(tiled.ratio_ids[0]),
        tiled.counts[0],
        np.stack([labels.thing, labels.hue, labels.place]).astype(np.int16),
    )


def _travelled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """`image` as it may arrive: one in four as a JPEG, one in four already scaled by a gateway."""
    way = rng.random()
    if way < 0.25:
        body = io.BytesIO()
        image.save(body, "JPEG", quality=int(rng.integers(60, 96)))
        return Image.open(body).convert("RGB")
    if way < 0.5:
        side = MAX_TILES * TILE
        scale = min(1.0, side / image.width, side / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        return image.resize(size, filters[int(rng.integers(3))])
    return image
