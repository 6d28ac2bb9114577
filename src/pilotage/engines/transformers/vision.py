"""How images become inputs of a model."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pilotage.engines.engine import EngineRequest
from pilotage.engines.transformers.sequence import Prompt
from pilotage.images import VisionInput
from pilotage.images.mllama import TileGrid
from pilotage.images.tiles import tile_images


class ImageProblem(Exception):
    """An image that the model cannot take; the request ends with this as its error."""


class Eyes(Protocol):
    """What a vision model does with a request's images.

    ``image_token`` is the id of the token that stands for an image in prompts.
    """

    image_token: int

    def check(self, request: EngineRequest) -> None:
        """Raise ValueError, quickly, when images and prompt do not go together."""

    def prompt(self, request: EngineRequest, device: torch.device, dtype: torch.dtype) -> Prompt:
        """The prompt with its images, on the device. Raises `ImageProblem`."""


class MllamaEyes:
    """Llama 3.2 Vision: tiles, which text tokens look at through cross-attention.

    Args:
        vision: The model's sizes.
        image_token: Id of the image token.
        max_tiles: Tiles an image that the vision encoder has.
    """

    def __init__(self, vision: VisionInput, image_token: int, max_tiles: int) -> None:
        grid = vision.tiles
        assert grid is not None
        # The encoder's count is what its tensors are padded to.
        self._grid = TileGrid(grid.tile, min(grid.max_tiles, max_tiles))
        self._preprocessor = vision.preprocessor
        self.image_token = image_token

    def check(self, request: EngineRequest) -> None:
        """One image token an image, and as many bytes as pixels say."""
        check_images(request, self.image_token)

    def prompt(self, request: EngineRequest, device: torch.device, dtype: torch.dtype) -> Prompt:
        """Tiles and what looks at them."""
        tiled = tile_images(
            [(image.width, image.height, image.pixels) for image in request.images],
            self._grid,
            self._preprocessor,
        )
        looks = looking(request.prompt_ids, self.image_token, tiled.counts, self._grid.max_tiles)

        def tensor(array: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        return Prompt(
            request.prompt_ids,
            inputs={
                "pixel_values": tensor(tiled.pixels)[None].to(dtype),
                "aspect_ratio_ids": tensor(tiled.ratio_ids)[None],
                "aspect_ratio_mask": tensor(tiled.mask)[None],
            },
            tiles=tensor(looks),
        )


def looking(
    ids: list[int], image_token: int, tiles: tuple[int, ...], max_tiles: int
) -> NDArray[np.int64]:
    """Which image tiles each token looks at, ``[tokens, images, max_tiles]``.

    A token looks at the image before it, from that image's own token to the next image; images
    whose tokens follow one another directly are looked at together. Source: the processor of
    Mllama in transformers; a test holds the two side by side.
    """
    places = [place for place, token in enumerate(ids) if token == image_token]
    seen = np.zeros((len(ids), len(places), max_tiles), np.int64)
    end = len(ids)
    for number in reversed(range(len(places))):
        after = places[number + 1] if number + 1 < len(places) else len(ids)
        if places[number] != after - 1:
            end = after
        seen[places[number] : end, number, : tiles[number]] = 1
    return seen


def check_images(request: EngineRequest, image_token: int) -> None:
    """Raise ValueError when images and image tokens do not go together."""
    tokens = request.prompt_ids.count(image_token)
    if tokens != len(request.images):
        raise ValueError(
            f"the prompt has {tokens} image token{'' if tokens == 1 else 's'} "
            f"for {len(request.images)} image{'' if len(request.images) == 1 else 's'}"
        )
    for image in request.images:
        if (
            min(image.width, image.height) < 1
            or len(image.pixels) != 3 * image.width * image.height
        ):
            raise ValueError("an image's bytes are not those of its size")
