"""Percentiles, shares and their confidence intervals, for requests that are late together.

Nothing is assumed of the form of the latencies. A failed request is a value of infinity: it never
answered, so it lies above every percentile that it can reach.

**Independence.** Requests that queue behind one another are late together, so a thousand of them
say less than a thousand independent ones. By how much is the design effect (L. Kish, *Survey
Sampling*, 1965): the variance of a mean over what it would be for independent values. It is
estimated by batch means (C. Alexopoulos and A. F. Seila in *Handbook of Simulation*, 1998) and both
intervals use ``n / design effect`` in the place of ``n``, as surveys do (E. L. Korn and B. I.
Graubard, Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64] | NDArray[np.float32]

_FEWEST_BATCHES: Final = 10
_FEWEST_EXCEEDANCES: Final = 20
# Chance in a hundred of taking independent requests for dependent ones, a batch size.
_SIGNIFICANCE: Final = 0.01


@cache
def _special() -> Any:
    import scipy.special  # noqa: PLC0415  half a second, which only verdicts are to pay

    return scipy.special


def rank(count: int, quantile: float) -> int:
    """Place (from 1) of the ``quantile`` among ``count`` ordered values: the nearest rank.

    The smallest value that at least this share of the values does not exceed; always a value that
    was measured, never one between two. Exact: the 0.07 quantile of 100 is the 7th, although
    ``0.07 * 100`` is more than 7 in floating point.
    """
    return max(1, math.ceil(Fraction(repr(float(quantile))) * count))


def percentile(ordered: Values, quantile: float) -> float | None:
    """The ``quantile`` of ``ordered`` (ascending); None if failures (infinity) reach down to it.

    None for an empty sample too.
    """
    if len(ordered) == 0:
        return None
    return _finite(ordered[rank(len(ordered), quantile) - 1])


def share_interval(
    hits: float, count: float, confidence: float, effect: float = 1.0
) -> tuple[float, float]:
    """Clopper-Pearson interval of a share: too wide rather than too narrow, at every size.

    With ``k`` hits in ``n`` it ends at the ``(1 - c)/2`` quantile of Beta(k, n - k + 1) and the
    ``(1 + c)/2`` quantile of Beta(k + 1, n - k) (C. J. Clopper and E. S. Pearson, Biometrika 26,
    1934). ``k`` and ``n`` are divided by the design effect first; the beta distribution does not
    ask for whole numbers.

    Args:
        hits: How many of them.
        count: Of how many.
        confidence: Such as 0.95, two-sided.
        effect: Design effect, at least 1.
    """
    tail = (1 - confidence) / 2
    inside, outside = hits / effect, (count - hits) / effect
    quantile = _special().betaincinv
    low = float(quantile(inside, outside + 1, tail)) if inside > 0 else 0.0
    high = float(quantile(inside + 1, outside, 1 - tail)) if outside > 0 else 1.0
    return low, high


def quantile_interval(
    ordered: Values, quantile: float, confidence: float, effect: float = 1.0
) -> tuple[float | None, float | None]:
    """Interval of a quantile between two order statistics, whatever the distribution.

    It is :func:`share_interval` turned around: it holds exactly the values ``t`` of which the
    share of requests above ``t`` leaves open whether it is more than ``1 - quantile`` or not. For
    independent values those are the usual binomial ranks (H. A. David and H. N. Nagaraja, *Order
    Statistics*, 2003, section 7.1). So an interval below a target, and "few enough are above the
    target", are one and the same finding.

    Args:
        ordered: The sample, ascending, failures as infinity.
        quantile: Such as 0.99.
        confidence: Such as 0.95.
        effect: Design effect, at least 1.

    Returns:
        Lower and upper end; None where the sample is too small, or failed too often, to bound it.
    """
    count, allowed = len(ordered), 1 - quantile
    if count == 0:
        return None, None

    def bounds(above: int) -> tuple[float, float]:
        return share_interval(above, count, confidence, effect)

    # The most values above the quantile that still show that few enough are, ...
    most = first(lambda above: bounds(above)[1] > allowed, count) - 1
    # ... and the fewest that show that too many are.
    fewest = first(lambda above: bounds(above)[0] > allowed, count)
    low = _finite(ordered[count - fewest]) if fewest <= count else None
    high = _finite(ordered[count - most - 1]) if most >= 0 else None
    return low, high


def design_effect(values: Values, ordered: Values, threshold: float) -> float:
    """How many requests are worth as much as one independent one, as to exceeding ``threshold``.

    The requests that exceed it are counted in batches of 2, 4, 8, … neighbours in time, down to
    10 batches. For independent requests the variance of a batch's share is ``p (1 - p) / size``;
    the design effect is how many times as large it is, at the batch size where it is largest. It
    is 1 unless some batch size shows dependence that chance would bring in 1 of 100 samples
    (chi-squared of the variance): noise alone is not to cost anyone more requests.

    A threshold that hardly any request exceeds tells nothing of this. It is lowered until 20 (or
    half the sample) exceed it.

    Args:
        values: In the order in which the requests were due, failures as infinity.
        ordered: The same, ascending.
        threshold: In the values' unit.

    Returns:
        At least 1.
    """
    count = len(values)
    if count < 2 * _FEWEST_BATCHES:
        return 1.0
    level = ordered[count - min(_FEWEST_EXCEEDANCES, count // 2) - 1]
    late = values > min(threshold, level)
    share = float(np.count_nonzero(late)) / count
    if share in (0.0, 1.0):
        return 1.0
    sums, size, largest, dependent = late.astype(np.int32), 1, 1.0, False
    while len(sums) // 2 >= _FEWEST_BATCHES:
        whole = len(sums) // 2 * 2
        sums, size = sums[0:whole:2] + sums[1:whole:2], size * 2
        degrees = len(sums) - 1
        ratio = float(sums.var(ddof=1)) / (size * share * (1 - share))
        largest = max(largest, ratio)
        dependent = dependent or ratio * degrees > _special().chdtri(degrees, _SIGNIFICANCE)
    return largest if dependent else 1.0


def first(holds: Callable[[int], bool], last: int) -> int:
    """The first of 0…last for which ``holds`` is true; ``last + 1`` if none.

    By bisection: from where it is true on, it has to stay so.
    """
    low, high = 0, last + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _finite(value: np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
