"""One sequence on its way through the gateway: queued, on a worker, or ended."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from enum import Enum, auto

from pilotage.engines.engine import EngineOutput, EngineRequest
from pilotage.serve.generation import GenerationFailed, SubmitRequest, TokenChunk


class Phase(Enum):
    """Where a generation is."""

    QUEUED = auto()
    HELD = auto()  # by a worker
    ENDED = auto()


class ActiveGeneration:
    """The gateway's side of a generation; implements `pilotage.serve.generation.Generation`.

    Attributes:
        id: The number the engine knows it by.
        queued_at: When it was submitted, on the event loop's clock.
        generated: Tokens so far.
        attempts: Workers it was given to.
        read: Whether any of its tokens have been handed out.
        cancelled: Whether nobody waits for it any more.
        patient: Whether it outlived a worker, after which it is never shed from the queue.
        shed_at: When it is shed, should it still be in the queue; on the event loop's clock.
        blocks: What prefix affinity knows its prompt by; None until that is asked.
        queue_s: Seconds it waited in the queue, all its waits together; None before the first
            of them is over.
    """

    def __init__(
        self,
        number: int,
        request: SubmitRequest,
        queued_at: float,
        on_cancel: Callable[[ActiveGeneration], None],
    ) -> None:
        self.id = number
        self.request = request
        self.queued_at = queued_at
        self.phase = Phase.QUEUED
        self.generated = 0
        self.attempts = 0
        self.read = False
        self.cancelled = False
        self.patient = False
        self.shed_at = math.inf
        self.blocks: tuple[int, ...] | None = None
        self.queue_s: float | None = None
        # Not the loop's clock: uvloop's has whole milliseconds.
        self._waits_since = time.monotonic()
        self._on_cancel = on_cancel
        self._fresh: list[EngineOutput] = []
        self._restarted = False
        self._failure: GenerationFailed | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def engine_request(self) -> EngineRequest:
        """What the worker is sent."""
        wanted = self.request
        return EngineRequest(
            self.id, wanted.prompt_ids, wanted.params, wanted.images, wanted.segments
        )

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.prompt_ids)

    def dispatched(self) -> None:
        """A worker takes it."""
        self.phase = Phase.HELD
        self.attempts += 1
        self.queue_s = (self.queue_s or 0.0) + time.monotonic() - self._waits_since

    def deliver(self, output: EngineOutput) -> None:
        """New tokens, or the end, from the worker."""
        self.generated += len(output.token_ids)
        self._fresh.append(output)
        self._wake()

    def fail(self, failure: GenerationFailed) -> None:
        """It ends without its answer."""
        self.phase = Phase.ENDED
        self._failure = failure
        self._wake()

    def begin_anew(self) -> None:
        """Its worker is gone; forget what came and wait for another."""
        self._fresh.clear()
        self._restarted = self._restarted or self.read
        self.generated = 0
        self.phase = Phase.QUEUED
        self.patient = True
        self._waits_since = time.monotonic()

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if not self.cancelled and self.phase is not Phase.ENDED:
            self.cancelled = True
            self._on_cancel(self)
            self._wake()

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        """Its chunks, in order, until its end or its cancellation. Raises `GenerationFailed`."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._fresh and self._failure is None and not self.cancelled:
                self._reader = loop.create_future()
                await self._reader
            if self.cancelled:
                return
            if self._failure is not None:
                raise self._failure
            chunk = self._take()
            yield chunk
            if chunk.finish_reason is not None:
                return

    def _take(self) -> TokenChunk:
        """All that has arrived, as one chunk."""
        fresh, self._fresh = self._fresh, []
        restarted, self._restarted = self._restarted, False
        self.read = True
        if len(fresh) == 1:
            only = fresh[0]
            return TokenChunk(
                only.token_ids, only.logprobs, only.finish_reason, restarted, only.tensor
            )
        tokens = [token for output in fresh for token in output.token_ids]
        logprobs = (
            [value for output in fresh for value in output.logprobs or ()]
            if self.request.params.logprobs
            else None
        )
        return TokenChunk(tokens, logprobs, fresh[-1].finish_reason, restarted)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
