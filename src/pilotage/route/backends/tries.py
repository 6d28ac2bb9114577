"""The one retry loop: attempts at an answer, on one backend after another where that is safe."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, Protocol, TypeVar

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, now
from pilotage.route.backends.account import Account, Payer, Tally, billed
from pilotage.route.backends.backend import SAFE_TO_RETRY, Backend, BackendError, Fault
from pilotage.route.backends.backoff import backoff_s
from pilotage.route.backends.health import Member, choose
from pilotage.route.backends.pace import Pace
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec

T = TypeVar("T")
_LOG: Final = logging.getLogger("pilotage.route")
_LONGEST_TURN_S: Final = 1.0
"""How long a request waits for its turn where a tier's rate is bounded."""

_TIMER_S: Final = 0.05
"""How much earlier than asked a timer may fire."""


class Question(Payer, Protocol[T]):
    """A request, as the retry loop sees it."""

    deadline: float
    timed: bool
    """Whether the loop holds the backend's time limits; otherwise it does so itself."""

    def ask(self, backend: Backend) -> tuple[Tally, AsyncGenerator[T, None]]:
        """One attempt: what will be known of it, and its pieces."""
        ...

    def took(self, tally: Tally, piece: T) -> bool:
        """A piece came; whether it has something of the answer in it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the attempts of a tier share."""

    spec: TierSpec
    members: Sequence[Member]
    price: TierPrice
    pace: Pace
    clock: Callable[[], float]
    uniform: Callable[[float, float], float] = random.uniform


class Tries(Generic[T]):
    """The attempts at one answer.

    Args:
        desk: The tier's.
        question: What is asked.
        account: Told of each attempt that is over.
    """

    def __init__(self, desk: Desk, question: Question[T], account: Account) -> None:
        self._desk = desk
        self._question = question
        self._account = account
        self._failed: list[Member] = []
        self._begun = False

    async def pieces(self) -> AsyncGenerator[T, None]:
        """The answer's pieces.

        Raises:
            BackendError: It could not be had, or broke off after its first piece.
        """
        last: BackendError | None = None
        while True:
            member = await self._next(last)
            self._account.tried_again()
            try:
                async with aclosing(self._attempt(member)) as attempt:
                    async for piece in attempt:
                        yield piece
            except BackendError as error:
                last = error
            else:
                return
            self._failed.append(member)
            wait_s = self._wait_s(last)
            if wait_s is None:
                raise last
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _next(self, last: BackendError | None) -> Member:
        """The member to ask, which is free now.

        Raises:
            BackendError: ``last``, or that there is none.
        """
        desk, deadline = self._desk, self._question.deadline
        if desk.clock() >= deadline:
            raise last or BackendError(Fault.TIMEOUT, "the request's time is over")
        turn_s = desk.pace.turn_in_s()
        if turn_s > _LONGEST_TURN_S or desk.clock() + turn_s >= deadline:
            raise last or BackendError(
                Fault.OVERLOADED,
                f"tier {desk.spec.name} gets as many requests a second as it may",
                retry_after_s=turn_s,
            )
        if turn_s:
            await self._turn()
        else:
            desk.pace.take()
        member = choose(desk.members, self._failed)
        if member is None:
            desk.pace.give_back()
            raise last or BackendError(
                Fault.OVERLOADED,
                f"no backend of tier {desk.spec.name} can be asked now",
                retry_after_s=min(member.wait_s for member in desk.members),
            )
        return member

    async def _turn(self) -> None:
        pace = self._desk.pace
        wait_s = pace.take()
        try:
            await asyncio.sleep(wait_s)
        except BaseException:
            pace.give_back()
            raise

    def _wait_s(self, error: BackendError) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        desk, failures = self._desk, len(self._failed)
        # Once something was passed on, another answer would not fit what the reader has.
        if self._begun or error.fault is Fault.REFUSED or failures > desk.spec.retries:
            return None
        if any(member.available and member not in self._failed for member in desk.members):
            wait_s = 0.0
        elif error.fault in SAFE_TO_RETRY:
            wait_s = backoff_s(failures - 1, error.retry_after_s, desk.uniform)
        else:
            return None
        return wait_s if desk.clock() + wait_s < self._question.deadline else None

    async def _attempt(self, member: Member) -> AsyncGenerator[T, None]:
        """One attempt, accounted for however it ends."""
        desk, question = self._desk, self._question
        ticket = member.begin()
        began, at, first_at = desk.clock(), now(), None
        error: BackendError | None = None
        answered = False
        tally, pieces = question.ask(member.backend)
        try:
            async with aclosing(pieces):
                while True:
                    try:
                        piece = await self._piece(pieces, member, began, first_at)
                    except StopAsyncIteration:
                        break
                    if question.took(tally, piece) and first_at is None:
                        first_at = desk.clock()
                    self._begun = True
                    yield piece
            _check_whole(tally)
            answered = True
        except BackendError as raised:
            error = raised
            raise
        except Exception as raised:
            _LOG.exception("backend %s broke", member.backend.name)
            error = BackendError(Fault.FAILED, f"the backend broke ({type(raised).__name__})")
            raise error from raised
        finally:
            # A reader that leaves after the last piece has had the answer.
            answered = answered or (error is None and tally.finished)
            ended = desk.clock()
            member.end(
                ticket,
                answered=answered,
                fault=self._blamed(error, ended),
                retry_after_s=None if error is None else error.retry_after_s,
            )
            usage = billed(question, tally, error)
            outcome = Outcome.OK if answered else Outcome.CANCELLED
            self._account.over(
                Attempt(
                    id=uuid.uuid4().hex,
                    request_id=question.request_id,
                    at=at,
                    key_id=question.key_id,
                    role=self._account.role,
                    tier=desk.spec.name,
                    backend=member.backend.name,
                    asked_model=member.asked_model,
                    served_model=tally.model or member.asked_model,
                    usage=usage or Usage(),
                    cost=desk.price.cost(usage) if usage is not None else Decimal(0),
                    latency_s=ended - began,
                    ttft_s=None if first_at is None else first_at - began,
                    outcome=outcome if error is None else Outcome.ERROR,
                    fault=None if error is None else str(error.fault),
                )
            )

    async def _piece(
        self,
        pieces: AsyncGenerator[T, None],
        member: Member,
        began: float,
        first_at: float | None,
    ) -> T:
        """The next piece, in time.

        Raises:
            StopAsyncIteration: There is none.
            BackendError: TIMEOUT among others.
        """
        question, spec = self._question, member.spec
        if not question.timed:
            return await anext(pieces)
        by = min(began + spec.timeout, question.deadline)
        if first_at is None:
            by = min(by, began + spec.first_token_timeout)
        try:
            async with asyncio.timeout(by - self._desk.clock() if by < float("inf") else None):
                return await anext(pieces)
        except TimeoutError:
            what = "no first token" if first_at is None else "no end of the answer"
            raise BackendError(Fault.TIMEOUT, f"{what} within the time limit") from None

    def _blamed(self, error: BackendError | None, ended: float) -> Fault | None:
        """The fault that is the backend's: not that of a request with too little time."""
        if error is None:
            return None
        short = ended >= self._question.deadline - _TIMER_S
        return None if short and error.fault is Fault.TIMEOUT else error.fault


def _check_whole(tally: Tally) -> None:
    if not tally.finished:
        raise BackendError(Fault.CUT, "the answer ended without a finish reason")
