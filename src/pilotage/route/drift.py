"""Whether answers are still as good as was predicted when they were taken.

Each audited answer has a predicted quality p and a judged quality y, both from 0 to 1. While the
calibration holds, E[p - y] is within ±t, the tolerance. Two e-detectors (Shin, Ramdas and Rinaldo,
"E-detectors: a nonparametric framework for sequential change detection", 2022, arXiv 2203.03532)
watch for a change, one a side. Each keeps the Shiryaev-Roberts sum

    M_n = (M_(n-1) + 1) · L_n,   L_n = 1 + b·(d_n - t),   d_n = ±(p_n - y_n),

whose factor L_n has an expectation of at most 1 while all is well, however the audits are
distributed and whenever one looks; so M_n - n is a supermartingale, and the mean number of audits
until M first exceeds c is at least c (theorem 2.4 there). A false alarm is thus at least
`RUN_LENGTH` audits away on average, both sides together. L is a mean over several bets b, to be
quick for large and for small changes; b < 1/(1 + t) keeps it positive.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

RUN_LENGTH: Final = 20_000
"""Audits from one false alarm to the next, on average, at least."""

TOLERANCE: Final = 0.05
"""Of the mean: a calibration is not exact, and neither is a judge."""

_BETS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
_WINDOW: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The calibration of a tier has left its bound.

    Attributes:
        tier: Whose answers.
        predicted: Mean predicted quality of the last audited answers.
        audited: Mean judged quality of the same.
        audits: How many those are.
    """

    tier: str
    predicted: float
    audited: float
    audits: int

    def __str__(self) -> str:
        than = "worse" if self.audited < self.predicted else "better"
        return (
            f"tier {self.tier}: accepted answers are {than} than was predicted: "
            f"{self.audited:.2f} and not {self.predicted:.2f} in the last {self.audits} audits. "
            "Calibrate again"
        )


class Drift:
    """Watches each tier's audits. After an alert the tier's watch begins anew."""

    def __init__(self, *, tolerance: float = TOLERANCE, run_length: int = RUN_LENGTH) -> None:
        self._tolerance = tolerance
        self._run_length = run_length
        self._watches: dict[str, _Watch] = {}

    def observe(self, tier: str, predicted: float, audited: float) -> Alert | None:
        """Take an audit into account.

        Args:
            tier: Whose answer.
            predicted: The quality that was expected of it when it was taken, 0 to 1.
            audited: The quality that it has, 0 to 1.
        """
        watch = self._watches.setdefault(tier, _Watch(self._tolerance))
        # Two sides share the run length.
        if watch.observe(predicted, audited) <= 2 * self._run_length:
            return None
        del self._watches[tier]
        return watch.alert(tier)


class _Watch:
    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._sums = {side: [0.0] * len(_BETS) for side in (1, -1)}
        self._last: deque[tuple[float, float]] = deque(maxlen=_WINDOW)

    def observe(self, predicted: float, audited: float) -> float:
        """The larger of the two sums."""
        self._last.append((predicted, audited))
        for side, sums in self._sums.items():
            over = side * (predicted - audited) - self._tolerance
            for index, bet in enumerate(_BETS):
                sums[index] = (sums[index] + 1.0) * (1.0 + bet * over)
        return max(sum(sums) / len(_BETS) for sums in self._sums.values())

    def alert(self, tier: str) -> Alert:
        audits = len(self._last)
        return Alert(
            tier=tier,
            predicted=sum(one for one, _ in self._last) / audits,
            audited=sum(one for _, one in self._last) / audits,
            audits=audits,
        )
