"""At most so many requests a second."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Spreads requests over time; a second's worth of them may come at once.

    The generic cell rate algorithm (ITU-T I.371): one number, the time at which the requests so
    far would have come had they been evenly spread.

    Args:
        rate: Requests a second; None for any number.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._interval_s = 0.0 if rate is None else 1.0 / rate
        self._burst_s = 0.0 if rate is None else max(0.0, 1.0 - self._interval_s)
        self._clock = clock
        self._due = clock()

    def turn_in_s(self) -> float:
        """Seconds until another request may go out, if no other takes its turn."""
        if not self._interval_s:
            return 0.0
        return max(0.0, self._due - self._burst_s - self._clock())

    def take(self) -> float:
        """Take the next turn; seconds until it has come."""
        wait_s = self.turn_in_s()
        if self._interval_s:
            self._due = max(self._due, self._clock()) + self._interval_s
        return wait_s

    def give_back(self) -> None:
        """Return a turn that was taken and not used."""
        self._due -= self._interval_s
