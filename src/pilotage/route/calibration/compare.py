"""What a policy gets against what needs no policy: one model, or two mixed by a coin.

The linear mix at a cost is the upper hull of the single models' (cost, quality) points: sending a
share of the requests at random to one model and the rest to another reaches every point of it. No
single model is above it, so that a policy which beats the mix at its own cost beats every single
model that costs no more. Intervals are percentiles of a paired bootstrap: requests are drawn anew,
and policy, models and hull are all worked out on the same draw (Efron and Tibshirani, 1993).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pilotage.route.calibration.comparison import Comparison, Interval
from pilotage.route.calibration.table import Array

_DRAWS: Final = 1000
_CHUNK: Final = 100
_TINY: Final = 1e-12


def compare(
    tiers: tuple[str, ...],
    quality: Array,
    usd: Array,
    policy: tuple[Array, Array, Array],
    *,
    confidence: float,
    seed: int = 0,
) -> Comparison:
    """Compare a policy with single models and their mix.

    Args:
        tiers: Names of the columns.
        quality: Of every model, shape (n, m).
        usd: Of every model, shape (n, m).
        policy: Quality, US dollars and generations of the policy, shape (n,) each.
        confidence: Of the intervals.
        seed: Of the bootstrap.
    """
    got, paid, generations = policy
    rows = len(got)
    drawn = np.random.default_rng(seed)
    columns = np.column_stack([quality, usd, got, paid])
    sums = []
    for begin in range(0, _DRAWS, _CHUNK):
        count = min(_CHUNK, _DRAWS - begin)
        often = drawn.multinomial(rows, np.full(rows, 1.0 / rows), size=count)
        sums.append(often @ columns / rows)
    measured = _figures(columns.mean(axis=0)[None, :], len(tiers))
    resampled = _figures(np.vstack(sums), len(tiers))
    tail = (1.0 - confidence) / 2
    intervals = {
        name: Interval(
            value=float(measured[name][0]),
            low=float(np.quantile(values, tail)),
            high=float(np.quantile(values, 1 - tail)),
        )
        for name, values in resampled.items()
    }
    best = int(np.argmax(quality.mean(axis=0)))
    got_mean = float(got.mean())
    return Comparison(
        rows=rows,
        quality=got_mean,
        usd=float(paid.mean()),
        generations=float(generations.mean()),
        best_single=tiers[best],
        best_quality=float(quality[:, best].mean()),
        best_usd=float(usd[:, best].mean()),
        mix_quality=got_mean - intervals["over_mix"].value,
        over_mix=intervals["over_mix"],
        over_best=intervals["over_best"],
        saved=intervals["saved"],
        confidence=confidence,
        beats=intervals["over_mix"].low > _TINY,
    )


def _figures(means: Array, models: int) -> dict[str, Array]:
    """The figures of each draw, from its means: qualities, costs, the policy's two."""
    quality, usd = means[:, :models], means[:, models : 2 * models]
    got, paid = means[:, -2], means[:, -1]
    best = quality.max(axis=1)
    reference = mix_usd(quality, usd, np.minimum(got, best))
    # Models that cost nothing leave nothing to save.
    share = np.divide(paid, reference, out=np.ones_like(paid), where=reference > 0)
    return {
        "over_mix": got - mix_quality(quality, usd, paid),
        "over_best": got - best,
        "saved": 1.0 - share,
    }


def mix_quality(quality: Array, usd: Array, budget: Array) -> Array:
    """The highest quality that a mix of two of the models reaches within a budget, a draw.

    Args:
        quality: Shape (draws, models).
        usd: Shape (draws, models).
        budget: US dollars a request, shape (draws,). Below the cheapest model, what that model has:
            nothing can be had for less.
    """
    cheapest = np.take_along_axis(quality, usd.argmin(axis=1)[:, None], axis=1)[:, 0]
    best: Array = cheapest
    for low in range(quality.shape[1]):
        within = usd[:, low] <= budget + _TINY
        best = np.where(within, np.maximum(best, quality[:, low]), best)
        for high in range(quality.shape[1]):
            gap = usd[:, high] - usd[:, low]
            mixed = within & (usd[:, high] > budget) & (gap > 0)
            share = np.divide(budget - usd[:, low], gap, out=np.zeros_like(gap), where=mixed)
            value = quality[:, low] + share * (quality[:, high] - quality[:, low])
            best = np.where(mixed, np.maximum(best, value), best)
    return best


def mix_usd(quality: Array, usd: Array, wanted: Array) -> Array:
    """The least cost at which a mix of two of the models reaches a quality, a draw.

    Args:
        quality: Shape (draws, models).
        usd: Shape (draws, models).
        wanted: Shape (draws,), at most the best model's.
    """
    least = np.full(len(wanted), np.inf)
    for high in range(quality.shape[1]):
        enough = quality[:, high] >= wanted - _TINY
        least = np.where(enough, np.minimum(least, usd[:, high]), least)
        for low in range(quality.shape[1]):
            gap = quality[:, high] - quality[:, low]
            mixed = enough & (quality[:, low] < wanted) & (gap > 0)
            share = np.divide(wanted - quality[:, low], gap, out=np.ones_like(gap), where=mixed)
            value = usd[:, low] + np.clip(share, 0, 1) * (usd[:, high] - usd[:, low])
            least = np.where(mixed, np.minimum(least, value), least)
    return least
