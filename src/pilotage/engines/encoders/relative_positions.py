"""MPNet's relative positions: a bias a head that depends on how far two tokens are apart."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from openvino import opset13 as ops

from pilotage.engines.encoders.graph import Node, constant, scalar, whole

_MAX_DISTANCE: Final = 128


def distance_buckets(longest: int, buckets: int) -> NDArray[np.int64]:
    """The bucket of every distance from ``-(longest - 1)`` to ``longest - 1``.

    Half of the buckets are for what lies behind, half for what lies ahead. In each half the near
    distances have a bucket of their own, and the farther ones share them logarithmically up to
    128 (Raffel et al. 2020, arXiv:1910.10683; MPNet's own code in `transformers`).
    """
    distance = np.arange(-(longest - 1), longest)
    half = buckets // 2
    near = half // 2
    size = np.abs(distance)
    # float32 and truncation as in the original, whose buckets the weights were trained with.
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(near))
    scale = np.float32(np.log(_MAX_DISTANCE / near))
    far = near + (ratio / scale * np.float32(half - near)).astype(np.int64)
    within = np.where(size < near, size, np.minimum(far, half - 1))
    return np.asarray(within + np.where(distance > 0, half, 0), dtype=np.int64)


def relative_bias(table: NDArray[Any], count: Node, longest: int) -> Node:
    """The attention bias ``[1, heads, tokens, tokens]``.

    Args:
        table: ``[buckets, heads]``, learnt.
        count: The number of tokens, a vector of one.
        longest: The most tokens there can be.
    """
    by_distance = table[distance_buckets(longest, len(table))]
    places = ops.range(scalar(0), ops.squeeze(count, scalar(0)), scalar(1), "i64")
    ahead = ops.subtract(ops.unsqueeze(places, scalar(0)), ops.unsqueeze(places, scalar(1)))
    row = ops.add(ahead, scalar(longest - 1))
    chosen = ops.gather(constant(by_distance), row, scalar(0))
    return ops.unsqueeze(ops.transpose(chosen, whole(2, 0, 1)), scalar(0))
