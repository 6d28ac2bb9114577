"""The arithmetic of pooling; apart from `pooling`, which is read where numpy is not wanted."""

from __future__ import annotations

import numpy as np

from pilotage.engines.encoders.pooling import Mode, Pooling
from pilotage.engines.encoders.runner import Floats


def pooled(pooling: Pooling, tokens: Floats) -> Floats:
    """The vector of a text from those of its tokens, ``[tokens, hidden]``."""
    parts = [_one(tokens, mode) for mode in pooling.modes]
    return scaled(pooling, parts[0] if len(parts) == 1 else np.concatenate(parts))


def scaled(pooling: Pooling, vector: Floats) -> Floats:
    """The vector at length 1, if that is wanted."""
    if not pooling.normalize:
        return vector
    return np.asarray(vector / np.maximum(np.linalg.norm(vector), np.float32(1e-12)))


def _one(tokens: Floats, mode: Mode) -> Floats:
    match mode:
        case "cls":
            return np.asarray(tokens[0])
        case "max":
            return np.asarray(tokens.max(axis=0))
        case "mean":
            return np.asarray(tokens.mean(axis=0))
        case "mean_sqrt_len_tokens":
            return np.asarray(tokens.sum(axis=0) / np.sqrt(np.float32(len(tokens))))
