"""The answer to a routed request, as it goes to the client."""

from __future__ import annotations

from decimal import Decimal

from pilotage.route.answer import Answer, Chunk


class RoutedAnswer:
    """The chunks of the answer that was chosen, from one tier and never from two.

    Attributes:
        tier: Whose answer it is; settled before the first chunk, so it can go into a header.
        decision: Why it is this tier's.
        escalations: How many tiers were asked before it.
    """

    tier: str
    decision: str
    escalations: int

    @property
    def answer(self) -> Answer:
        """The whole answer, once the iteration is over."""
        raise NotImplementedError

    @property
    def cost(self) -> Decimal:
        """US dollars of the request's attempts so far, all of them once the iteration is over.

        Drafts, samples, judgements and the estimate are in it; shadows and audits, which come
        afterwards, are in the ledger alone.
        """
        raise NotImplementedError

    def __aiter__(self) -> RoutedAnswer:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk.

        Raises:
            BackendError: The tier failed after its first chunk; nothing else will follow.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Cancel what is still being generated; it is billed as far as it came."""
        raise NotImplementedError
