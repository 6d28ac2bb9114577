"""Where the patch embedding starts: the principal components of patches, made equally loud.

In raw patches the mean colour drowns the edges that tell a circle from a square; eyes that start
from random weights spend most of their training on getting round that.
"""

from __future__ import annotations

import numpy as np
import torch
from scripts.shapes.album import Album
from scripts.shapes.eyes import PATCH, TILE

_PICTURES = 1500
_FLOOR = 1e-3
"""Of the loudest component's variance: quieter ones are grain, and are not made as loud."""


def whitening(album: Album, components: int = 128) -> torch.Tensor:
    """Weights of a convolution, (components, channels, PATCH, PATCH), with outputs near 1."""
    indices = np.arange(min(_PICTURES, len(album.scenes)))
    filled = np.arange(album.tiles.shape[1]) < album.tile_counts[indices][:, None]
    tiles = album.pixel_values(indices)[filled]
    side = TILE // PATCH
    cut = tiles.reshape(-1, 3, side, PATCH, side, PATCH).transpose(0, 2, 4, 1, 3, 5)
    patches = cut.reshape(-1, 3 * PATCH * PATCH).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    loudest = np.argsort(variances)[::-1][:components]
    scale = 1 / np.sqrt(variances[loudest] + _FLOOR * variances.max())
    weights = (directions[:, loudest] * scale).T.reshape(components, 3, PATCH, PATCH)
    return torch.from_numpy(weights.astype(np.float32))
