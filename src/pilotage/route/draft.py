"""A tier's answer that nobody has been shown yet."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from decimal import Decimal
from typing import Final

from pilotage.route.answer import Answer, Chunk
from pilotage.route.backends.attempt_stream import AttemptStream

_CHARS_A_TOKEN: Final = 4


class Draft:
    """Chunks that are held back, and the stream that the others come from.

    Args:
        tier: Whose answer it is.
        stream: It, not begun.
        keep_logprobs: Whether the client asked for log-probabilities; else they are for the
            verifiers alone.

    Attributes:
        tier: Whose answer it is.
        over: The answer is whole.
    """

    def __init__(self, tier: str, stream: AttemptStream, *, keep_logprobs: bool) -> None:
        self.tier = tier
        self.over = False
        self.stream = stream
        self._keep_logprobs = keep_logprobs
        self._held: deque[Chunk] = deque()
        self._tokens = 0

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return self.stream.answer

    @property
    def cost(self) -> Decimal:
        """US dollars of its attempts that are over."""
        return self.stream.cost

    async def hold(self, tokens: int | None) -> None:
        """Read until so many tokens are held, or all if None; at least until something is said.

        Raises:
            BackendError: There is no answer.
        """
        # What has finished is read to its end: its usage comes at once.
        while tokens is None or self._tokens < max(tokens, 1) or self.answer.finish_reason:
            chunk = await self._read()
            if chunk is None:
                return
            self._tokens += _tokens_in(chunk)
            self._held.append(chunk)

    async def next(self) -> Chunk | None:
        """The next chunk for the client; None after the last.

        Raises:
            BackendError: It broke off.
        """
        if self._held:
            chunk: Chunk | None = self._held.popleft()
        else:
            chunk = None if self.over else await self._read()
        if chunk is not None and chunk.logprobs and not self._keep_logprobs:
            return replace(chunk, logprobs=())
        return chunk

    async def _read(self) -> Chunk | None:
        chunk = await anext(self.stream, None)
        self.over = chunk is None
        return chunk


def _tokens_in(chunk: Chunk) -> int:
    """At least about how many tokens a chunk has; backends mostly send one a chunk."""
    if chunk.logprobs:
        return len(chunk.logprobs)
    text = len(chunk.text) + len(chunk.reasoning)
    return max(text // _CHARS_A_TOKEN, int(text > 0 or bool(chunk.tool_calls)))
