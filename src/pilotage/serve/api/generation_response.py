"""A response that is generated: streamed or whole, cancelled when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pilotage.serve.api.answer_format import DONE, AnswerFormat, FinishedChoice
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, ClientGone, internal_error
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.sequence import Choice, Piece
from pilotage.serve.api.submission import api_error
from pilotage.serve.generation import GenerationFailed

_LOG = logging.getLogger(__name__)

_Take = Callable[[Choice, Piece], Awaitable[None]]

_BROKEN_OFF = frozenset({"cancelled", "error"})
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the events
]


class GenerationResponse(Response):
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
        super().__init__()
        self._context = context
        self._exchange = exchange
        self._choices = choices
        self._answer = answer
        self._stream = stream
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response (ASGI)."""
        del scope
        work = asyncio.create_task(
            self._send_stream(send) if self._stream else self._send_whole(send)
        )
        gone = asyncio.create_task(_hung_up(receive))
        deadline = self._exchange.arrived + self._context.limits.request_timeout_s
        try:
            await asyncio.wait(
                {work, gone},
                timeout=max(0.0, deadline - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work.done():
                work.result()
                return
            self._exchange.finish_reason = "cancelled"
            await _stopped(work)
            await self._give_up(send, hung_up=gone.done())
        except GenerationFailed as failure:
            await self._fail(api_error(self._context, failure), send)
        except (ApiError, ClientGone):
            raise
        except Exception:
            if not self._started:
                raise
            _LOG.exception("request %s failed while streaming", self._exchange.request_id)
            await self._fail(internal_error(self._exchange.request_id), send)
        finally:
            for choice in self._choices:
                choice.generation.cancel()
            await _stopped(work, gone)
            self._count()

    async def _send_stream(self, send: Send) -> None:
        answer = self._answer
        opened: set[int] = set()
        order = asyncio.Lock()  # several choices send, and the headers go first

        async def pass_on(choice: Choice, piece: Piece) -> None:
            events = answer.piece(choice.index, piece)
            if choice.index not in opened:
                opened.add(choice.index)
                events = answer.opening(choice.index) + events
            async with order:
                if not self._started:
                    self._started = True
                    await self._begin(send, _STREAM_HEADERS)
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
        body = self._answer.whole(finished, exchange.prompt_tokens, exchange.completion_tokens)
        self._started = True
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await self._begin(send, headers)
        await send({"type": "http.response.body", "body": body})

    async def _begin(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        queue_s = self._queue_s()
        if queue_s is not None:
            headers = [*headers, (b"server-timing", b"queue;dur=%.3f" % (queue_s * 1e3))]
        # A copy: the layers around add theirs to it.
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})

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

    async def _give_up(self, send: Send, *, hung_up: bool) -> None:
        if hung_up:
            raise ClientGone
        limit = self._context.limits.request_timeout_s
        message = f"The answer was not complete within {limit:g} s."
        await self._fail(ApiError(message, status=504, code="request_timeout"), send)

    async def _fail(self, error: ApiError, send: Send) -> None:
        self._exchange.reason = error.code
        if not self._started:
            raise error
        await send({"type": "http.response.body", "body": error.event()})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
