"""A response that is generated: streamed or whole, cancelled when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.types import Send

from pilotage.serve.api.answer_format import DONE, AnswerFormat, FinishedChoice
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.sequence import Choice, Piece
from pilotage.serve.api.watched_response import STREAM_HEADERS, WatchedResponse
from pilotage.serve.generation import GenerationFailed

_LOG = logging.getLogger(__name__)

_Take = Callable[[Choice, Piece], Awaitable[None]]

_BROKEN_OFF = frozenset({"cancelled", "error"})


class GenerationResponse(WatchedResponse):
    """Sends what a request's generations bring.

    A stream's status and headers go out with its first token, so that a request that is shed
    from the queue still gets a status that says so. What fails later is an event in the stream.
    The generations are cancelled when the client hangs up, when time is up and when one fails.

    Args:
        context: The gateway's.
        exchange: The request's.
        choices: The running generations.
        answer: Writes the answer.
        stream: Whether it is sent as it comes.
    """

    def __init__(
        self,
        context: GatewayContext,
        exchange: Exchange,
        choices: list[Choice],
        answer: AnswerFormat,
        *,
        stream: bool,
    ) -> None:
        super().__init__(context, exchange)
        self._choices = choices
        self._format = answer
        self._stream = stream

    async def _answer(self, send: Send) -> None:
        if self._stream:
            await self._send_stream(send)
        else:
            await self._send_whole(send)

    def _end(self) -> None:
        for choice in self._choices:
            choice.generation.cancel()
        self._count()

    async def _send_stream(self, send: Send) -> None:
        answer = self._format
        opened: set[int] = set()
        order = asyncio.Lock()  # several choices send, and the headers go first

        async def pass_on(choice: Choice, piece: Piece) -> None:
            events = answer.piece(choice.index, piece)
            if choice.index not in opened:
                opened.add(choice.index)
                events = answer.opening(choice.index) + events
            async with order:
                if not self._started:
                    await self._begin(send, STREAM_HEADERS)
                if events:
                    await send({"type": "http.response.body", "body": events, "more_body": True})

        await self._follow_all(pass_on)
        self._count()
        exchange = self._exchange
        usage = answer.usage(exchange.prompt_tokens, exchange.completion_tokens)
        await send({"type": "http.response.body", "body": usage + DONE})

    async def _send_whole(self, send: Send) -> None:
        finished = [FinishedChoice(choice.index) for choice in self._choices]

        async def keep(choice: Choice, piece: Piece) -> None:
            finished[choice.index].add(piece)

        await self._follow_all(keep)
        self._count()
        exchange = self._exchange
        body = self._format.whole(finished, exchange.prompt_tokens, exchange.completion_tokens)
        await self._send_json(send, body)

    async def _begin(
        self, send: Send, headers: list[tuple[bytes, bytes]], status: int = 200
    ) -> None:
        queue_s = self._queue_s()
        if queue_s is not None:
            headers = [*headers, (b"server-timing", b"queue;dur=%.3f" % (queue_s * 1e3))]
        await super()._begin(send, headers, status)

    def _queue_s(self) -> float | None:
        """The longest wait of the choices that a worker has taken so far, seconds."""
        waits = [choice.generation.queue_s for choice in self._choices]
        return max((wait for wait in waits if wait is not None), default=None)

    async def _follow_all(self, take: _Take) -> None:
        if len(self._choices) == 1:
            await self._follow(self._choices[0], take)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for choice in self._choices:
                    group.create_task(self._follow(choice, take))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _follow(self, choice: Choice, take: _Take) -> None:
        exchange = self._exchange
        async for chunk in choice.generation:
            piece = choice.take(chunk)
            if piece.finish_reason in _BROKEN_OFF:
                break
            if choice.tokens:
                exchange.last_token_at = time.monotonic()
                if exchange.first_token_at is None:
                    exchange.first_token_at = exchange.last_token_at
            await take(choice, piece)
            if piece.finish_reason is not None:
                exchange.finish_reason = piece.finish_reason
                return
        raise GenerationFailed(
            "The generation ended before its answer was complete.", status=500, code="engine_error"
        )

    def _count(self) -> None:
        counts = [choice.tokens for choice in self._choices]
        self._exchange.completion_tokens = sum(counts)
        self._exchange.longest = max(counts)
        self._exchange.queue_s = self._queue_s()
