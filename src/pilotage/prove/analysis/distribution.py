"""A sample as the report shows it: its percentiles with intervals, and its curve."""

from __future__ import annotations

from typing import Final

import numpy as np

from pilotage.prove.analysis.sample import Sample
from pilotage.prove.analysis.statistics import Values
from pilotage.prove.result import Distribution

_CURVE_POINTS: Final = 400
_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


def distribution(
    sample: Sample, confidence: float, targets: dict[float, float] | None = None
) -> Distribution | None:
    """The distribution of ``sample``; None if it holds no finite value.

    Args:
        sample: Failed requests as infinity.
        confidence: Of the intervals, such as 0.95.
        targets: What is promised, in seconds by quantile: whether requests exceed it together
            counts for that percentile's interval, as it does for the verdict.
    """
    finite = sample.ordered[np.isfinite(sample.ordered)]
    if len(finite) == 0:
        return None
    effects = {q: sample.effect(q, (targets or {}).get(q)) for q in _QUANTILES}
    estimates = {q: sample.estimate(q, confidence, effects[q]) for q in _QUANTILES}
    return Distribution(
        count=len(finite),
        failed=len(sample) - len(finite),
        effective=len(sample) / max(effects.values()),
        mean=float(finite.mean(dtype=np.float64)),
        min=float(finite[0]),
        max=float(finite[-1]),
        p50=estimates[0.5],
        p90=estimates[0.9],
        p95=estimates[0.95],
        p99=estimates[0.99],
        curve=_curve(finite, len(sample)),
    )


def _curve(finite: Values, count: int) -> tuple[tuple[float, float], ...]:
    """(share of all ``count`` requests, value); with failures it ends below a share of 1.

    Of many values half the points are spread over the shares and half over the powers of ten of
    the rest above, where a tail has its detail: 0.9, 0.99, 0.999, …
    """
    size = len(finite)
    if size <= _CURVE_POINTS:
        places = np.arange(size)
    else:
        half = _CURVE_POINTS // 2
        even = np.linspace(0, size - 1, half)
        tail = size - np.geomspace(size, 1, half)
        places = np.unique(np.concatenate([even, tail]).round().astype(np.int64))
    return tuple(
        ((int(place) + 1) / count, float(value))
        for place, value in zip(places, finite[places], strict=True)
    )
