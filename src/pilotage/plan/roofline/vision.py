"""Images: the patches they are cut into, the prompt tokens they become, the work of encoding."""

from __future__ import annotations

from pilotage.catalog.anatomy import Vision

_DEFAULT_SIDE = 1024


def image_patches(vision: Vision, width: int = 0, height: int = 0) -> int:
    """Patches the encoder works through for one image.

    Models of fixed tiles always fill all of them (Llama 3.2 Vision pads to 4 tiles of 1,601).
    Others cut the image as it is into squares of ``patch`` pixels, rounded up to whole merged
    tokens; 1024 x 1024 is taken for an unknown size.
    """
    if vision.fixed_tokens and vision.kind == "cross":
        return vision.fixed_tokens * vision.max_tiles
    if vision.tile:
        return (vision.tile // vision.patch) ** 2 * vision.max_tiles
    step = vision.patch * vision.merge
    across = -(-(width or _DEFAULT_SIDE) // step)
    down = -(-(height or _DEFAULT_SIDE) // step)
    return across * down * vision.merge**2


def image_prompt_tokens(vision: Vision, width: int = 0, height: int = 0) -> int:
    """Tokens that one image adds to the prompt; 1 where text layers look at it instead."""
    if vision.kind == "cross":
        return 1
    if vision.fixed_tokens:
        return vision.fixed_tokens * vision.max_tiles
    return image_patches(vision, width, height) // vision.merge**2


def encode_flops(vision: Vision, patches: int | None = None) -> float:
    """Operations of encoding one image.

    A block has ``4 * hidden**2`` weights of attention and ``2 * hidden * intermediate`` of its
    feed-forward, 2 operations each a patch; patches of a tile (or of an image without tiles) all
    see each other: ``4 * hidden * patches**2``. The projector is left out (a percent).
    """
    total = image_patches(vision) if patches is None else patches
    # Attention spans one tile, except in encoders of one picture.
    seen = total / vision.max_tiles if vision.tile else total
    weights = 4 * vision.hidden**2 + 2 * vision.hidden * vision.intermediate
    return vision.layers * (2.0 * weights * total + 4.0 * vision.hidden * total * seen)
