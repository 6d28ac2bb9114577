"""Arithmetic that Python's numbers and NumPy's arrays do not share an operator for.

The work of a step is counted by one piece of code, for one batch or for arrays of them
(`pilotage.plan.step_model.Batches`); a table of steps is made of thousands. Both come to the same
figures to the last bit, so the few operations that would not are here.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def least(one: Any, other: Any) -> Any:
    """The smaller of two, or of each pair."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.minimum(one, other)
    return one if one <= other else other


def most(one: Any, other: Any) -> Any:
    """The larger of two, or of each pair."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.maximum(one, other)
    return one if one >= other else other


def power(base: float, exponent: Any) -> Any:
    """``base ** exponent``; by Python's own power in arrays too, as NumPy's rounds otherwise."""
    if not isinstance(exponent, np.ndarray):
        return base**exponent
    known, where = np.unique(exponent, return_inverse=True)
    return np.array([base**one for one in known.tolist()])[where].reshape(exponent.shape)
