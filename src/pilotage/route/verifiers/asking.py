"""Asking a tier something beside the request, and waiting for the whole answer."""

from __future__ import annotations

from pilotage.route.answer import Answer
from pilotage.route.backends.attempt_stream import AttemptStream


async def whole_answer(stream: AttemptStream) -> Answer:
    """The whole answer; the attempt is accounted for however it ends, cancelling included.

    Raises:
        BackendError: There is none.
    """
    async with stream:
        async for _ in stream:
            pass
        return stream.answer
