"""What each patch of a picture shows: what the eyes are taught before, and beside, the words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scripts.shapes.eyes import MAX_TILES, PATCH, TILE
from scripts.shapes.pictures import Picture
from scripts.shapes.scene import COLOURS, PLACES, SHAPES

THINGS = ("nothing", *SHAPES, *"0123456789")
HUES = ("nothing", *COLOURS)
UNASKED = -100
"""The label of a patch from which nothing is to be learned."""

_INSIDE, _OUTSIDE = 0.45, 1.15
"""Reaches of an ellipse within which a patch is surely covered, and beyond which surely not."""


@dataclass(frozen=True)
class PatchLabels:
    """Labels of one picture, each an array of shape (tiles, patches of a tile).

    Attributes:
        thing: Index in `THINGS`.
        hue: Index in `HUES`.
        place: Index in `PLACES` where a figure is, else `UNASKED`.
    """

    thing: np.ndarray[Any, Any]
    hue: np.ndarray[Any, Any]
    place: np.ndarray[Any, Any]


def label_patches(
    picture: Picture, scaled: tuple[int, int], arrangement: tuple[int, int]
) -> PatchLabels:
    """Labels for a picture laid on tiles.

    Args:
        picture: It.
        scaled: Width and height that it has on its canvas, in pixels.
        arrangement: Rows and columns of tiles.
    """
    rows, columns = arrangement
    along = np.arange(PATCH / 2, TILE, PATCH)
    shape = (MAX_TILES, len(along) ** 2)
    thing, hue, place = (np.full(shape, UNASKED) for _ in range(3))
    for tile in range(rows * columns):
        down, across = np.meshgrid(
            along + TILE * (tile // columns), along + TILE * (tile % columns), indexing="ij"
        )
        # Patch centres, from the canvas back to the picture as it was drawn.
        x = across.ravel() * picture.scene.width / scaled[0]
        y = down.ravel() * picture.scene.height / scaled[1]
        within = (x < picture.scene.width) & (y < picture.scene.height)
        thing[tile, within] = hue[tile, within] = 0
        for spot in picture.spots:
            off = np.hypot((x - spot.x) / max(spot.across, 1), (y - spot.y) / max(spot.down, 1))
            thing[tile, off < _OUTSIDE] = hue[tile, off < _OUTSIDE] = UNASKED
            covered = off < _INSIDE
            thing[tile, covered] = THINGS.index(spot.thing)
            hue[tile, covered] = HUES.index(spot.colour)
            if spot.place is not None:
                place[tile, covered] = PLACES.index(spot.place)
    return PatchLabels(thing, hue, place)
