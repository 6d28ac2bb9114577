"""A small logistic regression: it is fitted with SciPy and read with plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RIDGE: Final = 1.0
"""Penalty on the squared weights, against ``n`` log-losses: half a unit of prior evidence."""

_EDGE: Final = 1e-4


class Logistic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """P(good | x) = 1 / (1 + exp(-bias - Σ wᵢ·(xᵢ - meanᵢ)/scaleᵢ)).

    Attributes:
        inputs: What the numbers are, in order.
        mean: Of each input where it was fitted; an input that is missing counts as its mean.
        scale: Standard deviation of each input there.
        weights: Of the standardised inputs.
        bias: Log-odds at the mean.
    """

    inputs: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        sizes = {len(self.inputs), len(self.mean), len(self.scale), len(self.weights)}
        if len(sizes) != 1:
            raise ValueError("a logistic's inputs, means, scales and weights differ in number")
        if not all(map(math.isfinite, (*self.mean, *self.scale, *self.weights, self.bias))):
            raise ValueError("a logistic's numbers should be finite")
        if any(value <= 0 for value in self.scale):
            raise ValueError("a logistic's scales should be above 0")

    def probability(self, values: Sequence[float | None]) -> float:
        """From 0 to 1; a value of None is one that is not known.

        Raises:
            ValueError: Not one value an input.
        """
        total = self.bias
        for value, mean, scale, weight in zip(
            values, self.mean, self.scale, self.weights, strict=True
        ):
            if value is not None:
                total += weight * (value - mean) / scale
        return squash(total)


def squash(log_odds: float) -> float:
    """The probability of log-odds, without overflow."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))
    odds = math.exp(max(log_odds, -700.0))
    return odds / (1.0 + odds)


def log_odds(share: float) -> float:
    """ln(p / (1 - p)), with p kept off 0 and 1 so that one sure voice does not outshout all."""
    kept = min(max(share, _EDGE), 1.0 - _EDGE)
    return math.log(kept / (1.0 - kept))


def fit_logistic(
    inputs: Sequence[str],
    x: NDArray[np.float64],
    quality: NDArray[np.float64],
    *,
    rising: bool = False,
) -> Logistic:
    """The logistic of the least penalised log-loss.

    Qualities between 0 and 1 are soft labels (quasi-likelihood: Papke and Wooldridge, 1996), which
    makes the probability an expected quality.

    Args:
        inputs: Names, one a column.
        x: Shape (n, inputs); NaN where a value is not known.
        quality: Shape (n,), from 0 to 1.
        rising: No weight below 0: the inputs are opinions, and a better one is never bad news.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.optimize import minimize  # noqa: PLC0415
    from scipy.special import expit, logit  # noqa: PLC0415

    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    centred = np.where(known, x - mean, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / count)
    scale[scale < 1e-9] = 1.0  # a constant input: its weight stays 0
    z = np.hstack([np.ones((len(x), 1)), centred / scale])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = z @ weights
        slopes = weights[1:]
        value = np.logaddexp(0.0, margin).sum() - quality @ margin + _RIDGE / 2 * slopes @ slopes
        gradient = z.T @ (expit(margin) - quality)
        gradient[1:] += _RIDGE * slopes
        return float(value), gradient

    start = np.zeros(z.shape[1])
    # One success and one failure more than there were: data without failures is not certainty.
    start[0] = logit((quality.sum() + 1.0) / (len(quality) + 2.0))
    bounds = [(None, None), *([(0.0 if rising else None, None)] * (len(start) - 1))]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    found[0] = np.clip(found[0], -_sure(len(x)), _sure(len(x)))
    return Logistic(
        inputs=tuple(inputs),
        mean=tuple(map(float, mean)),
        scale=tuple(map(float, scale)),
        weights=tuple(map(float, found[1:])),
        bias=float(found[0]),
    )


def _sure(rows: int) -> float:
    """The log-odds that so many rows without an exception support (Laplace's rule)."""
    return math.log(rows + 1.0)
