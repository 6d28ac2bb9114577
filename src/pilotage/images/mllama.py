"""How Llama 3.2 Vision (Mllama) fits an image into square tiles.

The picture is laid on a canvas of up to ``max_tiles`` square tiles, in the arrangement that needs
least enlarging, or, where it fits none, least shrinking; of equals, the one with fewest tiles.
On that canvas it keeps its aspect ratio, is enlarged only up to one tile, and shrunk to the
canvas. Source: the image processing of Llama 3.2 Vision as published in Hugging Face
transformers, ``models/mllama``; a test holds the two side by side. The arithmetic is that of
IEEE doubles in the same order, since a pixel more or less is a different picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The canvas of a model.

    Attributes:
        tile: Side of a tile in pixels.
        max_tiles: Tiles an image may take.
    """

    tile: int
    max_tiles: int

    @property
    def arrangements(self) -> tuple[tuple[int, int], ...]:
        """Every (rows, columns) of tiles there is; the model numbers them from 1 in this order."""
        return _arrangements(self.max_tiles)

    def arrangement(self, width: int, height: int) -> tuple[int, int]:
        """The (rows, columns) of tiles on which an image of this size is laid."""
        scales = [
            min(rows * self.tile / height, columns * self.tile / width)
            for rows, columns in self.arrangements
        ]
        enlarging = [scale for scale in scales if scale >= 1]
        best = min(enlarging) if enlarging else max(scales)
        equals = [
            grid for grid, scale in zip(self.arrangements, scales, strict=True) if scale == best
        ]
        return min(equals, key=lambda grid: grid[0] * grid[1])

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to which an image is scaled on its canvas, in pixels.

        Scaled once more, it keeps its size. One image in a thousand, whose sides are nearly a
        whole multiple of each other, would then be laid on fewer tiles: those that it fills, less
        the empty one.
        """
        rows, columns = self.arrangement(width, height)
        across = min(max(width, self.tile), columns * self.tile)
        down = min(max(height, self.tile), rows * self.tile)
        by_width, by_height = across / width, down / height
        if by_width < by_height:
            return across, min(floor(height * by_width) or 1, down)
        return min(floor(width * by_height) or 1, across), down

    def number(self, arrangement: tuple[int, int]) -> int:
        """The model's number of an arrangement, its "aspect ratio id"; 0 is "no image"."""
        return self.arrangements.index(arrangement) + 1


@lru_cache
def _arrangements(max_tiles: int) -> tuple[tuple[int, int], ...]:
    sides = range(1, max_tiles + 1)
    return tuple((a, b) for a in sides for b in sides if a * b <= max_tiles)
