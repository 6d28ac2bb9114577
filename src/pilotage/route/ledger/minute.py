"""An allowance a minute: a bucket that holds one minute's worth and fills evenly.

In whole numbers, for the reasons that `pilotage.serve.rate_limits` gives: one unit is
1/60,000,000 of what is counted, so that a microsecond fills it by ``limit`` units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_UNITS: Final = 60_000_000


class Minute:
    """What is left of an allowance of ``limit`` a minute. Times are Unix seconds.

    In any ``t`` seconds at most ``limit + limit * t / 60`` are admitted. A clock that is set back
    fills nothing until it has caught up.
    """

    __slots__ = ("_at", "_level", "limit")

    def __init__(self, limit: int, at: float) -> None:
        self.limit = limit
        self._level = limit * _UNITS
        self._at = round(at * 1e6)

    @staticmethod
    def settled(
        minute: Minute | None, limit: int | None, at: float, past: Sequence[tuple[float, int]]
    ) -> Minute | None:
        """The allowance as it stands at a time, with the limit as it is now; None without one.

        Args:
            minute: The same of before, if there was one.
            limit: Whole ones a minute.
            at: Now.
            past: When and how much was spent before there was one, oldest first.
        """
        if limit is None:
            return None
        if minute is None:
            minute = Minute(limit, min(at, past[0][0]) if past else at)
            for when, amount in past:
                minute._fill(limit, when)
                minute.take(amount)
        minute._fill(limit, at)
        return minute

    @property
    def spent(self) -> int:
        """How much of the limit is not there now."""
        return max(0, self.limit - self._level // _UNITS)

    def wait_for(self, amount: int) -> float | None:
        """Seconds until ``amount`` can be taken, 0 for now; None if it never can."""
        if amount > self.limit:
            return None
        missing = amount * _UNITS - self._level
        # One microsecond more: now and then are each rounded to one.
        return (-(-missing // self.limit) + 1) / 1e6 if missing > 0 else 0

    def take(self, amount: int) -> None:
        """Spend it, below zero if need be; a negative amount gives back."""
        self._level = min(self._level - amount * _UNITS, self.limit * _UNITS)

    def _fill(self, limit: int, at: float) -> None:
        now = round(at * 1e6)
        passed = max(0, now - self._at)
        self._at += passed
        self._level = min(self._level + passed * self.limit, limit * _UNITS)
        self.limit = limit
