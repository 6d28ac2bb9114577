"""How each backend of a tier does, and which one is asked next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.route.backends.backend import Backend, Fault
from pilotage.route.backends.breaker import Breaker, BreakerState, Ticket
from pilotage.spec.tiers import BackendSpec

_FULL_S: Final = 1.0
"""When to come back if the only thing in the way is other requests."""

_LONGEST_QUIET_S: Final = 60.0
"""For how long a backend's word keeps us away; one that says a day may mean a wrong clock."""

_ALIVE: Final = frozenset({Fault.REFUSED})
"""Faults that say nothing against the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendHealth:
    """A backend as operators see it.

    Attributes:
        name: "tier/0".
        state: Of its breaker.
        in_flight: Attempts under way.
        attempts: Begun since the start.
        failures: Of these, failed.
        available: Whether it may be asked now.
    """

    name: str
    state: BreakerState
    in_flight: int
    attempts: int
    failures: int
    available: bool


class Member:
    """A backend, and what its tier knows of it.

    Args:
        backend: Who answers.
        spec: Its weight and limits.
        clock: Monotonic seconds.

    Attributes:
        asked_model: What it is asked for, for the ledger.
        turn: How far it is from being next (see `choose`).
    """

    def __init__(
        self, backend: Backend, spec: BackendSpec, asked_model: str, clock: Callable[[], float]
    ) -> None:
        self.backend = backend
        self.spec = spec
        self.asked_model = asked_model
        self.turn = 0.0
        self._clock = clock
        self._breaker = Breaker(clock)
        self._in_flight = 0
        self._attempts = 0
        self._failures = 0
        self._quiet_until = 0.0

    @property
    def available(self) -> bool:
        """Whether it may be asked now."""
        return (
            self._in_flight < self.spec.max_concurrency
            and self._breaker.lets_through
            and self._clock() >= self._quiet_until
        )

    @property
    def wait_s(self) -> float:
        """About how long until it may be asked."""
        wait_s = max(self._breaker.wait_s, self._quiet_until - self._clock())
        return wait_s if wait_s > 0 else _FULL_S

    @property
    def health(self) -> BackendHealth:
        """What operators see."""
        return BackendHealth(
            name=self.backend.name,
            state=self._breaker.state,
            in_flight=self._in_flight,
            attempts=self._attempts,
            failures=self._failures,
            available=self.available,
        )

    def begin(self) -> Ticket:
        """Count an attempt in; only while it is available."""
        ticket = self._breaker.ask()
        assert ticket is not None
        self._in_flight += 1
        self._attempts += 1
        return ticket

    def end(
        self, ticket: Ticket, *, answered: bool, fault: Fault | None, retry_after_s: float | None
    ) -> None:
        """Count it out.

        Args:
            ticket: From `begin`.
            answered: It gave its answer.
            fault: What went wrong; None with ``answered`` False: nothing, we ended it.
            retry_after_s: For how long it wants to be left alone.
        """
        self._in_flight -= 1
        if answered or fault in _ALIVE:
            self._breaker.succeeded(ticket)
            return
        if fault is None:
            self._breaker.abandoned(ticket)
            return
        self._failures += 1
        if not retry_after_s:
            self._breaker.failed(ticket)
        else:
            # It is alive and says when it will be back: no probe has to find that out.
            self._breaker.abandoned(ticket)
            quiet_s = min(_LONGEST_QUIET_S, retry_after_s)
            self._quiet_until = max(self._quiet_until, self._clock() + quiet_s)


def choose(members: Sequence[Member], avoid: Collection[Member] = ()) -> Member | None:
    """The next one to ask: by weight among those that may be asked.

    Smooth weighted round-robin: each gains its weight, the one furthest ahead is taken and falls
    back by the sum. Over any number of rounds nobody is more than one request away from its
    share. Those of weight 0 are asked, in turn, when no other may be.

    Args:
        members: A tier's.
        avoid: Taken only when there is no other: they have failed this request.

    Returns:
        None when none may be asked.
    """
    free = [member for member in members if member.available]
    if avoid:
        free = [member for member in free if member not in avoid] or free
    if not free:
        return None
    weighted = [member for member in free if member.spec.weight > 0]
    among = weighted or free
    if len(among) == 1:
        return among[0]
    total = 0.0
    best = among[0]
    for member in among:
        weight = member.spec.weight or 1.0
        member.turn += weight
        total += weight
        if member.turn > best.turn:
            best = member
    best.turn -= total
    return best
