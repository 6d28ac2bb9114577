"""A circuit breaker: whether a backend may be asked, from how it did lately.

::

    closed ── k failures in a row, or a bad share of the last seconds ──▶ open
      ▲                                                                  │  ▲
      │                                        the pause is over ────────┘  │
      │                                                ▼                    │
      └────────────── the probe goes well ──────── half-open ── it fails ───┘

While it is open nobody asks. When half-open exactly one does, and the others go elsewhere: a
backend that comes back is greeted by one request and not by a stampede.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open, and for how long.

    Attributes:
        in_a_row: Failures in a row that open it.
        share: Share of failures that opens it …
        out_of: … once so many attempts ended within the window.
        window_s: The window: between half of this and all of it is remembered.
        pause_s: Length of the first pause; each failed probe doubles it.
        longest_pause_s: The longest.
    """

    in_a_row: int = 5
    share: float = 0.5
    out_of: int = 20
    window_s: float = 20.0
    pause_s: float = 1.0
    longest_pause_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """The leave to ask once; handed back with what came of it.

    Attributes:
        probe: Whether this is the half-open breaker's one probe.
        era: How often the breaker had opened when it was given.
    """

    probe: bool
    era: int


class Breaker:
    """How one backend does. For one thread; never sleeps.

    Args:
        clock: Monotonic seconds.
        policy: When to open.
        uniform: `random.uniform`; tests replace it.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        policy: BreakerPolicy | None = None,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._uniform = uniform
        self._streak = 0
        self._pauses = 0
        self._era = 0
        self._until: float | None = None  # None: closed
        self._probing = False
        self._turned_at = clock()
        self._now = [0, 0]  # ended, of these failed: in this half of the window
        self._before = [0, 0]  # in the last

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock() < self._until else BreakerState.HALF_OPEN

    @property
    def wait_s(self) -> float:
        """Seconds until somebody may ask; 0 where that is now, or hangs on a probe."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    @property
    def lets_through(self) -> bool:
        """Whether `ask` would give a ticket."""
        return self._until is None or (not self._probing and self._clock() >= self._until)

    def ask(self) -> Ticket | None:
        """The leave to ask; None while there is none."""
        if not self.lets_through:
            return None
        self._probing = self._until is not None
        return Ticket(self._probing, self._era)

    def succeeded(self, ticket: Ticket) -> None:
        """The backend answered.

        An answer to a request from before it opened does not close it.
        """
        if ticket.era != self._era:
            return
        self._streak = 0
        self._count(failed=False)
        if ticket.probe:
            self._probing = False
            self._until = None
            self._pauses = 0
            self._now, self._before = [0, 0], [0, 0]

    def failed(self, ticket: Ticket) -> None:
        """The backend did not answer. What was asked before it opened is old news."""
        if ticket.era != self._era:
            return
        self._streak += 1
        self._count(failed=True)
        if ticket.probe or self._streak >= self._policy.in_a_row or self._too_many():
            self._open()

    def abandoned(self, ticket: Ticket) -> None:
        """The attempt said nothing of the backend: we ended it."""
        if ticket.probe and ticket.era == self._era:
            self._probing = False

    def _open(self) -> None:
        policy = self._policy
        pause_s = min(policy.longest_pause_s, policy.pause_s * 2.0 ** min(self._pauses, 60))
        self._pauses += 1
        self._era += 1
        self._streak = 0
        self._probing = False
        # Spread, so that the gateways of a fleet do not probe together.
        self._until = self._clock() + self._uniform(pause_s / 2, pause_s)

    def _count(self, *, failed: bool) -> None:
        now, half = self._clock(), self._policy.window_s / 2
        if now - self._turned_at >= half:
            recent = now - self._turned_at < 2 * half
            self._before, self._now = self._now if recent else [0, 0], [0, 0]
            self._turned_at = now
        self._now[0] += 1
        self._now[1] += failed

    def _too_many(self) -> bool:
        ended = self._now[0] + self._before[0]
        failures = self._now[1] + self._before[1]
        return ended >= self._policy.out_of and failures >= self._policy.share * ended
