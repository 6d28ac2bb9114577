"""An answer as it comes, whose attempts are accounted for however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Generic, Self, TypeVar

from pilotage.route.answer import Answer, Chunk
from pilotage.route.attempt import Attempt, Role
from pilotage.route.backends.account import Account
from pilotage.route.backends.asking import ChatQuestion, RawQuestion
from pilotage.route.backends.one_try import Desk
from pilotage.route.backends.tries import Tries

T = TypeVar("T")


class AccountedStream(Generic[T]):
    """Pieces of a tier's answer: an async iterator, and an async context manager.

    The iteration raises `BackendError` when no backend of the tier gave the answer, or when one
    broke off after its first piece. However it ends (whole, failed, cancelled, closed), the sink
    gets one row an attempt, failed ones before the last included.

    The last attempt's row is written when the iteration ends. With ``deferred`` it waits for
    `settle`, and is written as it stands by `aclose` at the latest: use ``async with``.

    One task iterates and closes it.

    Args:
        tries: What it iterates.
        account: Of its attempts.
        deferred: Whether the last row waits.
    """

    def __init__(self, tries: Tries[T], account: Account, *, deferred: bool) -> None:
        self._tries = tries
        self._account = account
        self._deferred = deferred
        self._over = False

    @property
    def attempt(self) -> Attempt:
        """The last attempt, after the end of the iteration. As it would be written, if deferred.

        Raises:
            RuntimeError: It is not over, or nothing was asked.
        """
        attempt = self._account.last
        if not self._over or attempt is None:
            raise RuntimeError("no attempt is over")
        return attempt

    @property
    def attempts(self) -> int:
        """How many attempts are over; 0 if nothing could be asked."""
        return self._account.count

    @property
    def cost(self) -> Decimal:
        """US dollars of all attempts that are over, failed ones included."""
        return self._account.cost

    def settle(
        self,
        *,
        role: Role | None = None,
        decision: str | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Say what the answer turned out to be, and write its row if it is over.

        Before the end of the iteration it is kept until then, and the row still comes at the end
        (or when settled again, if deferred). After the row is written: nothing.
        """
        self._account.settle(role, decision, scores)
        if self._over:
            self._account.write()

    async def aclose(self) -> None:
        """End the attempt, at the provider too, and write its row: cancelled, if it was not over.

        What came until then is billed, by estimate where the provider said nothing. Any number of
        times.
        """
        try:
            await self._tries.aclose()
        finally:
            self._over = True
            self._account.write()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._tries.next()
        except BaseException:
            self._over = True
            if not self._deferred:
                self._account.write()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A row is money: it is written even if whoever had to close this was cancelled.
        self._tries.give_up()
        self._account.write()


class AttemptStream(AccountedStream[Chunk]):
    """The chunks of a tier's answer.

    Args:
        desk: The tier's.
        question: What is asked.
        account: Of its attempts.
        deferred: Whether the last row waits for `settle`.
    """

    def __init__(
        self, desk: Desk, question: ChatQuestion, account: Account, *, deferred: bool
    ) -> None:
        super().__init__(Tries(desk, question, account), account, deferred=deferred)
        self._question = question

    @property
    def answer(self) -> Answer:
        """What came: whole after the end of the iteration, a part of it before."""
        return self._question.assembly.answer()


class RawStream(AccountedStream[bytes]):
    """The bytes of a tier's answer, in pieces of whole events, or all of it in one.

    Args:
        desk: The tier's.
        question: What is asked.
        account: Of its attempts.
    """

    def __init__(self, desk: Desk, question: RawQuestion, account: Account) -> None:
        super().__init__(Tries(desk, question, account), account, deferred=False)
        self._question = question

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The answer's headers, once its first piece is there; names in lower case."""
        return self._question.headers
