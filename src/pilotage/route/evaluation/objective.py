"""The one objective of every policy: expected quality less a price for money.

A query's action is the one with the greatest expected score - λ * cost / unit, where the unit is
the dearest model's mean cost; λ is what its whole cost is worth in quality. Sweeping λ gives a
policy's operating points.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LAMBDAS: Final[Values] = np.concatenate([[0.0], np.geomspace(1e-3, 1e2, 46)])


def choose(expected: Values, costs: Values, unit: float, lambdas: Values) -> NDArray[np.int64]:
    """The best model by row for each λ, settings by rows; the first of several alike."""
    chosen = [(expected - weight * costs / unit).argmax(axis=1) for weight in lambdas]
    return np.stack(chosen).astype(np.int64)
