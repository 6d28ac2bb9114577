"""The answer to a routed request, as it goes to the client."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from pilotage.route.answer import Answer, Chunk
from pilotage.route.attempt import Attempt
from pilotage.route.backends.backend import BackendError
from pilotage.route.deliberation import Deliberation


class RoutedAnswer:
    """The chunks of the answer that was chosen, from one tier and never from two.

    Args:
        deliberation: That has chosen.
        on_end: Called once, when the last chunk has been read.

    Attributes:
        tier: Whose answer it is; settled before the first chunk, so it can go into a header.
        decision: Why it is this tier's.
        escalations: How many other tiers were asked, in vain.
        predicted: Quality that was expected when it was taken, 0 to 1; None if nobody knew.
    """

    def __init__(self, deliberation: Deliberation, on_end: Callable[[RoutedAnswer], None]) -> None:
        self._deliberation = deliberation
        self._draft = deliberation.chosen
        self._on_end: Callable[[RoutedAnswer], None] | None = on_end
        self.tier = self._draft.tier
        self.decision = deliberation.decision
        self.escalations = deliberation.escalations
        self.predicted = deliberation.predicted

    @property
    def answer(self) -> Answer:
        """The whole answer, once the iteration is over; what has come until then."""
        return self._draft.answer

    @property
    def attempt(self) -> Attempt:
        """The attempt that the answer is from, once the iteration is over."""
        return self._draft.stream.attempt

    @property
    def cost(self) -> Decimal:
        """US dollars of the request's attempts so far, all of them once the iteration is over.

        Drafts, samples, judgements and the estimate are in it; shadows and audits, which come
        afterwards, are in the ledger alone.
        """
        return self._deliberation.cost

    def __aiter__(self) -> RoutedAnswer:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk.

        Raises:
            BackendError: The tier failed after its first chunk; nothing else will follow.
        """
        try:
            chunk = await self._draft.next()
        except BackendError:
            await self.aclose()
            raise
        if chunk is not None:
            return chunk
        await self.aclose()
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end(self)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel what is still being generated; it is billed as far as it came."""
        await self._deliberation.aclose()
