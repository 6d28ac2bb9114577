"""An answer as it comes, whose attempt is accounted for however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType

from pilotage.route.answer import Answer, Chunk
from pilotage.route.attempt import Attempt, Role


class AttemptStream:
    """The chunks of a tier's answer: an async iterator, and an async context manager.

    The iteration raises `BackendError` when no backend of the tier gave the answer, or when one
    broke off after its first chunk. However it ends (whole, failed, cancelled, closed), the sink
    gets one row an attempt, failed ones before the last included.

    The last attempt's row is written when the iteration ends. With ``deferred`` it waits for
    `settle`, and is written as it stands by `aclose` at the latest: use ``async with``.
    """

    @property
    def answer(self) -> Answer:
        """What came: whole after the end of the iteration, a part of it before."""
        raise NotImplementedError

    @property
    def attempt(self) -> Attempt:
        """The last attempt, after the end of the iteration. As it would be written, if deferred.

        Raises:
            RuntimeError: It is not over, or nothing was asked.
        """
        raise NotImplementedError

    @property
    def cost(self) -> Decimal:
        """US dollars of all attempts that are over, failed ones included."""
        raise NotImplementedError

    def settle(
        self,
        *,
        role: Role | None = None,
        decision: str | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Say what the answer turned out to be, and write its row if it is over.

        Before the end of the iteration it is kept until then. After the row is written: nothing.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the attempt, at the provider too, and write its row: cancelled, if it was not over.

        What came until then is billed, by estimate where the provider said nothing. Any number of
        times.
        """
        raise NotImplementedError

    def __aiter__(self) -> AttemptStream:
        return self

    async def __anext__(self) -> Chunk:
        raise NotImplementedError

    async def __aenter__(self) -> AttemptStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
