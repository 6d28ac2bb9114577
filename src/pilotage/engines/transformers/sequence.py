"""One sequence on its way through the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import torch

from pilotage.engines.engine import EngineRequest
from pilotage.engines.transformers.sampling import Sampler

_PATCH: Final = 14
"""Side of a patch in most vision encoders."""


@dataclass(slots=True)
class Prompt:
    """A prompt as the model takes it.

    Attributes:
        ids: Its token ids, image tokens expanded.
        inputs: What the model takes beside them in the first pass (pixels and the like).
        whole: Whether it must be prefilled in one pass, because the model looks for the places of
            all images at once.
        tiles: For cross-attention, ``[tokens, images, tiles]``: 1 where a token looks at a tile.
    """

    ids: list[int]
    inputs: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    tiles: torch.Tensor | None = None

    @property
    def patches(self) -> int:
        """What its images cost, in patches of `_PATCH` pixels a side, blank tiles included."""
        pixels = self.inputs.get("pixel_values")
        return 0 if pixels is None else pixels.numel() // (3 * _PATCH**2)


@dataclass(slots=True)
class Sequence:
    """A request that runs.

    Attributes:
        request: What was asked.
        sampler: How its tokens are chosen.
        prompt: What is prefilled; None until its turn has come.
        cached: Tokens whose keys and values are in the cache.
        next: The token that the next decode step is given.
        tiles_seen: Image tiles that its decode steps look at.
        cancelled: Whether it shall stop.
    """

    request: EngineRequest
    sampler: Sampler
    prompt: Prompt | None = None
    cached: int = 0
    next: int = 0
    tiles_seen: int = 0
    cancelled: bool = False
