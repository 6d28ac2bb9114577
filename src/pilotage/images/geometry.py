"""What a vision model takes: sizes, from its ``preprocessor_config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil, floor, sqrt
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.errors import ModelError
from pilotage.images.image_token import image_token_text
from pilotage.images.mllama import TileGrid

_MAX_BYTES: Final = 4 << 20
_PATCH_GRIDS: Final = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl"})
_TILED: Final = "mllama"
_MOST_PROPORTION: Final = 64
_QWEN_MIN_PIXELS: Final = 56 * 56
_QWEN_MAX_PIXELS: Final = 28 * 28 * 1280


class VisionInput(msgspec.Struct, frozen=True, kw_only=True):
    """How images come to one model.

    Attributes:
        family: The ``model_type`` of its config, such as ``mllama``.
        width: Pixels of the widest image it looks at; wider ones lose detail anyway.
        height: Pixels of the highest.
        max_images: Images a request.
        image_token: The text that stands for an image in a prompt, such as ``<|image|>``.
        preprocessor: Its ``preprocessor_config.json``, as it is.
    """

    family: str
    width: int
    height: int
    max_images: int = 16
    image_token: str
    preprocessor: Mapping[str, Any]

    @staticmethod
    def read(folder: Path) -> VisionInput | None:
        """What the model in a folder takes; None for one without eyes.

        A model has eyes when its ``config.json`` has a ``vision_config`` and there is a
        ``preprocessor_config.json`` (or the ``image_processor`` part of a
        ``processor_config.json``, where newer exports keep it).

        Raises:
            ModelError: A file is damaged, or says nothing of the sizes.
        """
        config = _json(folder / "config.json")
        if config is None or not isinstance(config.get("vision_config"), dict):
            return None
        where = folder / "preprocessor_config.json"
        preprocessor = _json(where)
        if preprocessor is None:
            combined = _json(folder / "processor_config.json") or {}
            preprocessor = combined.get("image_processor")
        if not isinstance(preprocessor, dict):
            raise ModelError(
                "the model has eyes but no preprocessor_config.json says what they take",
                where=str(folder),
                hint="Fetch the model again, with all its .json files",
            )
        family = str(config.get("model_type") or "")
        width, height = _largest(family, config, preprocessor, str(where))
        return VisionInput(
            family=family,
            width=width,
            height=height,
            image_token=image_token_text(folder, config),
            preprocessor=preprocessor,
        )

    @property
    def tiles(self) -> TileGrid | None:
        """The tiles of an Mllama; None for every other family."""
        if self.family != _TILED:
            return None
        return _tile_grid(self.preprocessor, "preprocessor_config.json")

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) in pixels to which the model itself would scale an image.

        An image of that size is not scaled again in the engine, so that the gateway can do the
        resizing without changing an answer. Models that enlarge small images say so here too.
        """
        if (grid := self.tiles) is not None:
            return grid.fitted(width, height)
        if self.family in _PATCH_GRIDS:
            return _patch_fit(self.preprocessor, width, height)
        size = self.preprocessor.get("size")
        sides = size if isinstance(size, dict) else {"shortest_edge": size}
        if (across := sides.get("width")) and (down := sides.get("height")):
            return int(across), int(down)
        if type(short := sides.get("shortest_edge")) is int and not sides.get("longest_edge"):
            return _short_side_fit(short, width, height)
        scale = min(1.0, self.width / width, self.height / height)
        return max(1, round(width * scale)), max(1, round(height * scale))


def _largest(
    family: str, config: Mapping[str, Any], preprocessor: Mapping[str, Any], where: str
) -> tuple[int, int]:
    """Width and height of the largest image that a model sees in full."""
    if family == _TILED:
        grid = _tile_grid(preprocessor, where)
        return grid.tile * grid.max_tiles, grid.tile * grid.max_tiles
    if family in _PATCH_GRIDS:
        # A long strip may use all pixels; 200:1 is the longest that the model takes.
        side = floor(sqrt(_pixel_bounds(preprocessor)[1] * 200))
        return side, side
    size = preprocessor.get("size")
    sides = size if isinstance(size, dict) else {"shortest_edge": size}
    for name in ("longest_edge", "width", "height", "shortest_edge"):
        if type(found := sides.get(name)) is int and found > 0:
            # Where only the short side is fixed the rest is cut away: nothing beyond is seen.
            return found, found
    found = config["vision_config"].get("image_size")
    if type(found) is int and found > 0:
        return found, found
    raise ModelError("the file does not say how large images are", where=where)


def _tile_grid(preprocessor: Mapping[str, Any], where: str) -> TileGrid:
    size = preprocessor.get("size")
    tile = size.get("height") if isinstance(size, dict) else None
    most = preprocessor.get("max_image_tiles", 4)
    if type(tile) is not int or type(most) is not int or not (tile > 0 and 0 < most <= 64):
        raise ModelError(
            "damaged: a tiled model needs size.height (pixels) and max_image_tiles", where=where
        )
    return TileGrid(tile, most)


def _short_side_fit(short: int, width: int, height: int) -> tuple[int, int]:
    """The short side as given, the long one in proportion, cut to a whole pixel.

    Bounded, since the proportions are a stranger's: all but the middle is cut away afterwards.
    """
    if width <= height:
        return short, min(int(short * height / width), short * _MOST_PROPORTION)
    return min(int(short * width / height), short * _MOST_PROPORTION), short


def _pixel_bounds(preprocessor: Mapping[str, Any]) -> tuple[int, int]:
    size = preprocessor.get("size")
    sides = size if isinstance(size, dict) else {}
    least = preprocessor.get("min_pixels") or sides.get("shortest_edge") or _QWEN_MIN_PIXELS
    most = preprocessor.get("max_pixels") or sides.get("longest_edge") or _QWEN_MAX_PIXELS
    return int(least), int(most)


def _patch_fit(preprocessor: Mapping[str, Any], width: int, height: int) -> tuple[int, int]:
    """Sides that are whole patches, as near the proportions as can be, within the pixel bounds.

    Source: ``smart_resize`` of Qwen2-VL as published in transformers, ``models/qwen2_vl``.
    """
    unit = int(preprocessor.get("patch_size", 14)) * int(preprocessor.get("merge_size", 2))
    least, most = _pixel_bounds(preprocessor)
    across, down = round(width / unit) * unit, round(height / unit) * unit
    if across * down > most:
        shrink = sqrt(width * height / most)
        across = max(unit, floor(width / shrink / unit) * unit)
        down = max(unit, floor(height / shrink / unit) * unit)
    elif across * down < least:
        enlarge = sqrt(least / (width * height))
        across = ceil(width * enlarge / unit) * unit
        down = ceil(height * enlarge / unit) * unit
    return across, down


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None when there is no such file."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError("damaged: not JSON", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("damaged: not a JSON object", where=str(path))
    return data
