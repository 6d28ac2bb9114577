"""The one retry loop: attempts at an answer, on one backend after another where that is safe."""

from __future__ import annotations

import asyncio
from typing import Final, Generic, TypeVar

from pilotage.route.backends.account import Account
from pilotage.route.backends.backend import SAFE_TO_RETRY, BackendError, Fault
from pilotage.route.backends.backoff import backoff_s
from pilotage.route.backends.health import Member, choose
from pilotage.route.backends.one_try import Desk, OneTry, Question

T = TypeVar("T")
_LONGEST_TURN_S: Final = 1.0
"""How long a request waits for its turn where a tier's rate is bounded."""


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
        self._current: OneTry[T] | None = None
        self._failed: list[Member] = []
        self._last: BackendError | None = None
        self._over = False

    async def next(self) -> T:
        """The answer's next piece.

        Raises:
            StopAsyncIteration: The answer is whole, or was closed.
            BackendError: It could not be had, or broke off after its first piece.
        """
        while not self._over:
            current = self._current
            try:
                if current is None:
                    current = self._current = await self._begin()
                return await current.next()
            except BackendError as error:
                wait_s = None if current is None else self._wait_s(error, current)
                if wait_s is None:
                    self._over = True
                    self._last = None  # it holds on to all that it passed through
                    raise
                self._last = error
            except BaseException:
                self._over = True
                raise
            self._current = None
            if wait_s:
                await self._sleep(wait_s)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the attempt that is under way. Any number of times."""
        self._over = True
        if self._current is not None:
            await self._current.aclose()

    def give_up(self) -> None:
        """Account for the attempt that is under way as it stands."""
        if self._current is not None:
            self._current.give_up()

    async def _begin(self) -> OneTry[T]:
        """The next attempt.

        Raises:
            BackendError: The last attempt's, or that nobody can be asked.
        """
        member = await self._next_member()
        self._account.tried_again()
        return OneTry(self._desk, self._question, self._account, member)

    async def _next_member(self) -> Member:
        desk, deadline, last = self._desk, self._question.deadline, self._last
        pace = desk.pace
        if desk.clock() >= deadline:
            raise last or BackendError(Fault.TIMEOUT, "the request's time is over")
        turn_s = pace.turn_in_s()
        if turn_s > _LONGEST_TURN_S or desk.clock() + turn_s >= deadline:
            raise last or BackendError(
                Fault.OVERLOADED,
                f"tier {desk.spec.name} gets as many requests a second as it may",
                retry_after_s=turn_s,
            )
        pace.take()
        try:
            if turn_s:
                await asyncio.sleep(turn_s)
        except BaseException:
            pace.give_back()
            raise
        member = choose(desk.members, self._failed)
        if member is None:
            pace.give_back()
            raise last or BackendError(
                Fault.OVERLOADED,
                f"no backend of tier {desk.spec.name} can be asked now",
                retry_after_s=min(member.wait_s for member in desk.members),
            )
        return member

    def _wait_s(self, error: BackendError, tried: OneTry[T]) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        desk = self._desk
        self._failed.append(tried.member)
        failures = len(self._failed)
        # Once something was passed on, another answer would not fit what the reader has.
        if tried.begun or error.fault is Fault.REFUSED or failures > desk.spec.retries:
            return None
        if any(member.available and member not in self._failed for member in desk.members):
            wait_s = 0.0
        elif error.fault in SAFE_TO_RETRY:
            wait_s = backoff_s(failures - 1, error.retry_after_s, desk.uniform)
        else:
            return None
        return wait_s if desk.clock() + wait_s < self._question.deadline else None

    async def _sleep(self, wait_s: float) -> None:
        try:
            await asyncio.sleep(wait_s)
        except BaseException:
            self._over = True
            raise
