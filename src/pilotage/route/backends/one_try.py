"""One attempt on one backend, accounted for exactly once however it ends."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, Protocol, TypeVar

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, now
from pilotage.route.backends.account import Account, Payer, Tally, billed
from pilotage.route.backends.backend import Backend, BackendError, Fault
from pilotage.route.backends.health import Member
from pilotage.route.backends.pace import Pace
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_LOG: Final = logging.getLogger("pilotage.route")
_NEVER: Final = float("inf")

_TIMER_S: Final = 0.05
"""How much earlier than asked a timer may fire."""


class Pieces(Protocol[T_co]):
    """An answer on its way: an async generator, or what can be used like one."""

    async def __anext__(self) -> T_co:
        """The next piece."""
        ...

    async def aclose(self) -> None:
        """Want no more. Any number of times."""
        ...


class Question(Payer, Protocol[T]):
    """A request, as the retry loop sees it."""

    deadline: float
    timed: bool
    """Whether the loop holds the backend's time limits; otherwise it does so itself."""

    def ask(self, backend: Backend) -> tuple[Tally, Pieces[T]]:
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
    uniform: Callable[[float, float], float]


class OneTry(Generic[T]):
    """One attempt, which begins at once.

    Args:
        desk: The tier's.
        question: What is asked.
        account: Told when it is over.
        member: Who is asked; available.

    Attributes:
        member: Who is asked.
        begun: Whether a piece of the answer was passed on.
    """

    def __init__(self, desk: Desk, question: Question[T], account: Account, member: Member) -> None:
        self.member = member
        self.begun = False
        self._desk = desk
        self._question = question
        self._account = account
        self._over = False
        self._began = desk.clock()
        self._at = now()
        self._first_at: float | None = None
        self._ticket = member.begin()
        self._tally, self._pieces = question.ask(member.backend)

    async def next(self) -> T:
        """The next piece.

        Raises:
            StopAsyncIteration: There is none: the answer is whole.
            BackendError: It broke off.
        """
        try:
            piece = await self._piece()
        except StopAsyncIteration:
            if self._tally.finished:
                self._end(None)
                raise
            cut = BackendError(Fault.CUT, "the answer ended without a finish reason")
            self._end(cut)
            raise cut from None
        except BackendError as error:
            self._end(error)
            await self._pieces.aclose()
            raise
        except Exception as error:
            name = self.member.backend.name
            _LOG.exception("backend %s broke", name)
            broke = BackendError(Fault.FAILED, f"the backend broke ({type(error).__name__})")
            self._end(broke)
            raise broke from error
        except BaseException:
            self._end(None)
            await self._pieces.aclose()
            raise
        if self._question.took(self._tally, piece) and self._first_at is None:
            self._first_at = self._desk.clock()
        self.begun = True
        return piece

    async def aclose(self) -> None:
        """End it, at the backend too. Any number of times."""
        self.give_up()
        await self._pieces.aclose()

    def give_up(self) -> None:
        """Account for it as it stands."""
        if not self._over:
            self._end(None)

    async def _piece(self) -> T:
        """The next piece, in time."""
        question, spec = self._question, self.member.spec
        if not question.timed:
            return await self._pieces.__anext__()
        by = min(self._began + spec.timeout, question.deadline)
        if self._first_at is None:
            by = min(by, self._began + spec.first_token_timeout)
        try:
            async with asyncio.timeout(by - self._desk.clock()):
                return await self._pieces.__anext__()
        except TimeoutError:
            what = "no first token" if self._first_at is None else "no end of the answer"
            raise BackendError(Fault.TIMEOUT, f"{what} within the time limit") from None

    def _end(self, error: BackendError | None) -> None:
        """Hand the ticket back, and the row in.

        Args:
            error: What went wrong; None where the answer is whole, or nobody wants more of it.
        """
        self._over = True
        desk, question, member, tally = self._desk, self._question, self.member, self._tally
        ended = desk.clock()
        # A reader that leaves after the last piece has had the answer.
        answered = error is None and tally.finished
        member.end(
            self._ticket,
            answered=answered,
            fault=self._blamed(error, ended),
            retry_after_s=None if error is None else error.retry_after_s,
        )
        usage = billed(question, tally, error)
        outcome = Outcome.OK if answered else Outcome.CANCELLED
        self._account.over(
            Attempt(
                id=os.urandom(16).hex(),
                request_id=question.request_id,
                at=self._at,
                key_id=question.key_id,
                role=self._account.role,
                tier=desk.spec.name,
                backend=member.backend.name,
                asked_model=member.asked_model,
                served_model=tally.model or member.asked_model,
                usage=usage or Usage(),
                cost=desk.price.cost(usage) if usage is not None else Decimal(0),
                latency_s=ended - self._began,
                ttft_s=None if self._first_at is None else self._first_at - self._began,
                outcome=outcome if error is None else Outcome.ERROR,
                fault=None if error is None else str(error.fault),
                decision=self._account.decision,
                scores=self._account.scores,
            )
        )

    def _blamed(self, error: BackendError | None, ended: float) -> Fault | None:
        """The fault that is the backend's: not that of a request with too little time."""
        if error is None:
            return None
        short = ended >= self._question.deadline - _TIMER_S
        return None if short and error.fault is Fault.TIMEOUT else error.fault
