"""A threshold whose accepted answers are good enough, with a probability that is known.

The answers of a tier that score at least τ have some mean quality; the data shows it only for a
sample. A threshold is certified when the sample refutes "their mean quality is below the target"
at level δ. Many thresholds are candidates, and trying all would find one by luck. So *other* rows
choose the one to begin with, the one most easily refuted there, and from it they are tested
downwards until the first that is not refuted. Such fixed sequence testing errs with a probability
of at most δ over the whole sequence (Angelopoulos et al., "Learn then Test", 2021, arXiv
2110.01052; a sequence from separate rows is "Pareto Testing" of Laufer-Goldenshluger et al., ICLR
2023). The last that is certified accepts the most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CANDIDATES: Final = 24


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which score on a tier's answers are taken.

    Attributes:
        value: Least score; None if no threshold is certified, and none of its answers is taken.
        accepted: Answers of the sample that reach it.
        rows: Answers of the sample.
        quality: Mean quality of those accepted; None if there are none.
    """

    value: float | None
    accepted: int
    rows: int
    quality: float | None

    def __post_init__(self) -> None:
        for share in (self.value, self.quality):
            if share is not None and not 0 <= share <= 1:
                raise ValueError("thresholds and qualities are from 0 to 1")


def certified_threshold(
    tune: tuple[NDArray[np.float64], NDArray[np.float64]],
    bound: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    target: float,
    delta: float,
) -> Threshold:
    """The lowest threshold that is certified.

    With probability 1 - ``delta`` over the ``bound`` rows, the mean quality of answers that reach
    the threshold is at least ``target`` for requests of the same kind.

    Args:
        tune: Scores and qualities, to choose what to begin with. Shape (n,) each.
        bound: Scores and qualities of other rows, to test on.
        target: Mean quality of what is accepted, 0 to 1.
        delta: Probability of being wrong.
    """
    import numpy as np  # noqa: PLC0415

    scores, quality = bound
    candidates = np.unique(np.quantile(tune[0], np.linspace(0.0, 0.96, _CANDIDATES)))
    start = min(
        candidates, key=lambda value: (refutation(tune[1][tune[0] >= value], target), value)
    )
    certified: float | None = None
    for value in candidates[candidates <= start][::-1]:
        if refutation(quality[scores >= value], target) > delta:
            break
        certified = float(value)
    if certified is None:
        return Threshold(value=None, accepted=0, rows=len(scores), quality=None)
    taken = quality[scores >= certified]
    return Threshold(
        value=certified, accepted=len(taken), rows=len(scores), quality=float(taken.mean())
    )


def refutation(quality: Sequence[float] | NDArray[np.float64], target: float) -> float:
    """p-value of "the mean quality is below ``target``": small when the sample speaks against it.

    For qualities of 0 and 1 the exact binomial tail (Clopper and Pearson, 1934, turned around);
    for others the smaller of Hoeffding's bound in its Kullback-Leibler form and Bentkus' (2004),
    as in Learn then Test, section 3. With no sample nothing is refuted: 1.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.special import bdtr  # noqa: PLC0415

    values = np.asarray(quality, float)
    rows, allowed = len(values), 1.0 - target
    if rows == 0 or allowed <= 0:
        return 1.0
    if allowed >= 1:
        return 0.0
    lost = float((1.0 - values).sum())
    whole = bool(np.all((values == 0) | (values == 1)))
    # P(Binomial(n, allowed) <= what was lost): how likely so little is lost at the target itself.
    tail = float(bdtr(math.ceil(lost - 1e-9), rows, allowed))
    if whole:
        return tail
    mean = lost / rows
    if mean >= allowed:
        return 1.0
    divergence = _divergence(mean, allowed)
    return min(1.0, math.exp(-rows * divergence), math.e * tail)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, natural log; q is inside (0, 1)."""
    head = p * math.log(p / q) if p > 0 else 0.0
    tail = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return head + tail
