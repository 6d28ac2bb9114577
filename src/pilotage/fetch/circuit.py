"""A circuit breaker: one memory of how an origin does, shared by all who call it.

::

    closed ── k failures in a row, or "wait 55 s" ──▶ open ── the pause is over ──▶ half-open
      ▲                                                ▲                              │
      └────────────── the probe goes well ─────────────┼── the probe fails ───────────┤
                                                       └──────────────────────────────┘

While it is open nobody calls. When half-open, exactly one caller does, and all others wait for
what it finds: an origin that comes back is greeted by one request and not by a stampede.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pilotage.fetch.origin import TransientError

PROBE_POLL_S: Final = 0.05
"""How often a waiting caller looks whether another caller's probe has come back."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The leave to call once; handed back with what came of it.

    Attributes:
        probe: Whether this call is the half-open circuit's one probe.
    """

    probe: bool


class Circuit:
    """How one origin does. Safe to use from many threads; never sleeps.

    Args:
        failures: How many in a row, over all callers, open it.
        pause_s: The first pause; each failed probe doubles it.
        cap_s: The longest pause.
        uniform: `random.uniform`; tests replace it.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        pause_s: float = 1.0,
        cap_s: float = 60.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._failures = failures
        self._pause_s = pause_s
        self._cap_s = cap_s
        self._uniform = uniform
        self._lock = threading.Lock()
        self._streak = 0
        self._pauses = 0
        self._until: float | None = None  # None: closed
        self._probing = False
        self._last: TransientError | None = None

    @property
    def last_error(self) -> TransientError | None:
        """The newest failure, for callers that gave up waiting without a call of their own."""
        with self._lock:
            return self._last

    def ask(self, now: float) -> Ticket | float:
        """Leave to call, or the seconds to wait before asking again.

        Args:
            now: Seconds on the caller's monotonic clock.
        """
        with self._lock:
            if self._until is None:
                return Ticket(probe=False)
            if now < self._until:
                return self._until - now
            if self._probing:
                return PROBE_POLL_S
            self._probing = True
            return Ticket(probe=True)

    def succeeded(self, ticket: Ticket) -> None:
        """The origin answered.

        An answer to a call from before the circuit opened does not close it: a rate limiter that
        asked for 55 s of quiet still finishes what it had begun.
        """
        with self._lock:
            self._streak = 0
            if ticket.probe:
                self._probing = False
                self._pauses = 0
                self._until = None

    def failed(
        self, ticket: Ticket, now: float, error: TransientError, hold_s: float | None = None
    ) -> None:
        """The origin did not answer, or asked for quiet.

        Args:
            ticket: From `ask`.
            now: Seconds on the caller's monotonic clock.
            error: What went wrong.
            hold_s: How long the origin asked for quiet, its jitter included; None if it did not.
        """
        with self._lock:
            self._streak += 1
            self._last = error
            if ticket.probe:
                self._probing = False
            if ticket.probe or (self._until is None and self._streak >= self._failures):
                ceiling = min(self._cap_s, self._pause_s * 2.0 ** min(self._pauses, 60))
                self._pauses += 1
                self._until = now + self._uniform(ceiling / 2, ceiling)
            if hold_s is not None:
                self._until = max(self._until or now, now + hold_s)

    def abandoned(self, ticket: Ticket) -> None:
        """The call ended without saying anything of the origin (it was interrupted)."""
        with self._lock:
            if ticket.probe:
                self._probing = False
