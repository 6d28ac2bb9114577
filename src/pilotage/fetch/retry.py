"""The one retry policy, for every call of every source.

Waits follow "full jitter" (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015): the n-th wait is uniform in [0, min(cap, base·2ⁿ)], which spreads many callers over the
whole interval and needs the fewest calls in all. Where the origin names a time, that time is the
earliest and the jitter comes on top: a hundred nodes that are told "55 s" together must not come
back together.
"""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from pilotage.errors import SourceError
from pilotage.fetch.circuit import Circuit, Ticket
from pilotage.fetch.origin import TransientError

T = TypeVar("T")

ASKED_SPREAD: Final = 0.25
"""A wait that the origin asked for is spread by at least this share of itself."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        attempts: Calls in a row without progress, the first one included.
        base_s: The first wait's upper end; each further one doubles it.
        cap_s: The longest wait of our own. What the origin asks for may be longer.
        budget_s: Seconds that may go into waiting and failing; bytes that arrive cost nothing.
    """

    attempts: int = 12
    base_s: float = 0.5
    cap_s: float = 60.0
    budget_s: float = 900.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base_s, self.cap_s, self.budget_s) < 0:
            raise ValueError("a retry policy needs at least one attempt and no negative times")


class RetryPhase(StrEnum):
    """What the policy is doing."""

    WAITING = "waiting"
    """A call failed; there will be another."""
    HELD = "held"
    """The origin's circuit is open: nobody calls until it is over."""
    GAVE_UP = "gave_up"
    """No further call will be made."""


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """What a listener is told.

    Attributes:
        phase: What is happening.
        origin: Who is called.
        attempt: Failures since the last progress.
        wait_s: How long until the next call at the earliest; 0 when there is none.
        error: The last failure, without secrets.
    """

    phase: RetryPhase
    origin: str
    attempt: int
    wait_s: float
    error: TransientError | None


RetryListener = Callable[[RetryEvent], None]


class GaveUpError(SourceError):
    """What might have gone well next time did not within the policy.

    Not a `TransientError`: it has been tried again already. The last one is its ``__cause__``.

    Args:
        message: What happened last, and for how long it was tried.
        where: The address, without secrets.
        hint: What to do about it.
        tried_s: Seconds from the first call to the end.
        attempts: Calls that were made.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        tried_s: float = 0.0,
        attempts: int = 0,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.tried_s = tried_s
        self.attempts = attempts


def unheard(event: RetryEvent) -> None:
    """The listener of a caller that does not listen."""


class Retry:
    """Runs calls under one policy, with one circuit an origin. Safe to use from many threads.

    Args:
        policy: How often and how long.
        clock: Seconds that never go back; deadlines are on this clock.
        sleep: Waits; an exception that it raises ends the call, which is how a fetch is stopped.
        uniform: `random.uniform`; tests replace it.
    """

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform
        self._lock = threading.Lock()
        self._circuits: dict[str, Circuit] = {}

    def sleeping(self, sleep: Callable[[float], None]) -> Retry:
        """This one, circuits shared, with another way to wait: one that a fetch can wake."""
        other = copy.copy(self)
        other._sleep = sleep
        return other

    def circuit(self, origin: str) -> Circuit:
        """The circuit of an origin, made when it is first asked for."""
        with self._lock:
            if origin not in self._circuits:
                self._circuits[origin] = Circuit(uniform=self._uniform)
            return self._circuits[origin]

    def call(
        self,
        fn: Callable[[], T],
        *,
        origin: str,
        deadline: float | None = None,
        told: RetryListener = unheard,
    ) -> T:
        """Run `fn` until it returns, fails for good, or the policy is used up.

        Args:
            fn: Called with nothing; may be called many times.
            origin: Who it calls, such as ``https://huggingface.co``.
            deadline: On this object's clock; no wait goes beyond it. None: the budget alone.
            told: Hears of every wait and of the end.

        Returns:
            What `fn` returned.

        Raises:
            GaveUpError: It kept failing.
            Exception: Whatever else `fn` raised, at once.
        """
        attempt = _Attempt(self, origin, deadline, told)
        while True:
            ticket = attempt.admitted()
            try:
                result = fn()
            except TransientError as error:
                wait_s = attempt.failed(ticket, error)
            except Exception:
                # It answered, if not as hoped: a 404 says nothing against the origin.
                attempt.circuit.succeeded(ticket)
                raise
            except BaseException:
                attempt.circuit.abandoned(ticket)
                raise
            else:
                attempt.circuit.succeeded(ticket)
                return result
            self._sleep(wait_s)

    def now(self) -> float:
        """Seconds on the clock that deadlines are on."""
        return self._clock()

    def pause(self, seconds: float) -> None:
        """Sleep as the policy's own waits do."""
        self._sleep(seconds)

    def backoff_s(self, failures: int, asked_s: float | None) -> float:
        """How long to wait after a failure.

        Args:
            failures: Failures in a row before this one.
            asked_s: What the origin asked for; None if it did not.
        """
        spread = min(self.policy.cap_s, self.policy.base_s * 2.0 ** min(failures, 60))
        if asked_s is None:
            return self._uniform(0.0, spread)
        return asked_s + self._uniform(0.0, max(spread, asked_s * ASKED_SPREAD))


class _Attempt:
    """The course of one `Retry.call`."""

    def __init__(
        self, retry: Retry, origin: str, deadline: float | None, told: RetryListener
    ) -> None:
        self.circuit = retry.circuit(origin)
        self._retry = retry
        self._origin = origin
        self._deadline = deadline
        self._told = told
        self._began = self._tried_from = retry.now()
        self._free_s = 0.0  # time in which bytes arrived: not the budget's
        self._calls = 0
        self._failures = 0
        self._last: TransientError | None = None

    def admitted(self) -> Ticket:
        """Wait until the circuit lets this call through."""
        heard = False
        while True:
            now = self._retry.now()
            answer = self.circuit.ask(now)
            if isinstance(answer, Ticket):
                self._tried_from = now
                self._calls += 1
                return answer
            if not heard:
                error = self._last or self.circuit.last_error
                self._tell(RetryPhase.HELD, answer, error)
                heard = True
            self._give_up_unless_room(answer, self._last or self.circuit.last_error)
            # In slices, as another caller's probe may close the circuit meanwhile.
            self._retry.pause(min(answer, 1.0))

    def failed(self, ticket: Ticket, error: TransientError) -> float:
        """Take a failure in; return how long to wait, or give up."""
        self._last = error
        now = self._retry.now()
        if error.received:
            self._failures = 0
            self._free_s += now - self._tried_from
        asked_s = error.retry_after_s
        wait_s = self._retry.backoff_s(self._failures, asked_s)
        if error.received and not asked_s:
            self.circuit.succeeded(ticket)
        else:
            self.circuit.failed(ticket, now, error, hold_s=wait_s if asked_s else None)
        self._failures += 1
        if self._failures >= self._retry.policy.attempts:
            raise self._gave_up(error)
        self._give_up_unless_room(wait_s, error)
        self._tell(RetryPhase.WAITING, wait_s, error)
        return wait_s

    def _give_up_unless_room(self, wait_s: float, error: TransientError | None) -> None:
        after = self._retry.now() + wait_s
        spent = after - self._began - self._free_s
        beyond_deadline = self._deadline is not None and after > self._deadline
        if spent > self._retry.policy.budget_s or beyond_deadline:
            raise self._gave_up(error, wait_s)

    def _gave_up(self, error: TransientError | None, wait_s: float = 0.0) -> GaveUpError:
        self._tell(RetryPhase.GAVE_UP, 0.0, error)
        tried_s = self._retry.now() - self._began
        calls = f"{self._calls} {'try' if self._calls == 1 else 'tries'}"
        ending = f"gave up after {calls} in {tried_s:.1f} s"
        if wait_s >= 1.0:
            ending += f", as the next would be in {wait_s:.0f} s"
        message = error.message if error is not None else "another caller waits for the origin"
        gave_up = GaveUpError(
            f"{message}; {ending}",
            where=(error.where if error is not None else None) or self._origin,
            hint=(error.hint if error is not None else None) or "Try again later",
            tried_s=tried_s,
            attempts=self._calls,
        )
        gave_up.__cause__ = error
        return gave_up

    def _tell(self, phase: RetryPhase, wait_s: float, error: TransientError | None) -> None:
        self._told(RetryEvent(phase, self._origin, self._failures, wait_s, error))
