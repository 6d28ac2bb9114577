"""Small readers of single patches that teach the eyes, and are thrown away afterwards.

Answers alone teach eyes slowly: until words look at the right patch nothing says what is there.
Labels of patches say it from the first step, and leave what they taught where words find it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scripts.shapes.labels import HUES, THINGS, UNASKED
from scripts.shapes.scene import PLACES, SHAPES
from torch import nn

_NOTHING_WEIGHT = 0.15
"""Most patches show nothing; unweighted, the eyes would learn to say that."""

LESSONS = ("shape", "digit", "colour", "place")


class PatchHeads(nn.Module):
    """Thing, colour and place of each patch, from what the words see of it.

    Args:
        width: Of what they see.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.thing = nn.Linear(width, len(THINGS))
        self.hue = nn.Linear(width, len(HUES))
        self.place = nn.Linear(width, len(PLACES))

    def losses(self, seen: torch.Tensor, labels: np.ndarray[Any, Any]) -> torch.Tensor:
        """Mean cross-entropy of each of `LESSONS`.

        Digits are apart from shapes: they are large, and would drown them.

        Args:
            seen: (pictures, tiles, 1 + patches, width); the first is the tile's class token.
            labels: (pictures, 3, tiles, patches).
        """
        patches = seen[:, :, 1:].flatten(0, 2)
        wanted = torch.from_numpy(labels.astype(np.int64)).transpose(0, 1).flatten(1)
        is_digit = wanted[0] > len(SHAPES)
        shape = wanted[0].masked_fill(is_digit, UNASKED)
        digit = wanted[0].masked_fill(~is_digit, UNASKED)
        things = self.thing(patches)
        return torch.stack(
            [
                _mean_loss(things, shape),
                _mean_loss(things, digit),
                _mean_loss(self.hue(patches), wanted[1]),
                _mean_loss(self.place(patches), wanted[2], first=1.0),
            ]
        )


def _mean_loss(
    logits: torch.Tensor, wanted: torch.Tensor, first: float = _NOTHING_WEIGHT
) -> torch.Tensor:
    """Weighted mean; 0 where nothing is asked. `first` is the weight of class 0."""
    weight = torch.ones(logits.shape[-1])
    weight[0] = first
    total = weight[wanted[wanted != UNASKED]].sum().clamp(min=1.0)
    loss = nn.functional.cross_entropy(
        logits, wanted, weight=weight, ignore_index=UNASKED, reduction="sum"
    )
    return loss / total
