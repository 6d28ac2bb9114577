"""A routed answer on its way to the client; all its attempts end when nobody waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.types import Send

from pilotage.route.answer import Usage
from pilotage.route.call import Call
from pilotage.route.ledger.budgets import Reservation
from pilotage.route.routed_answer import RoutedAnswer
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.watched_response import STREAM_HEADERS
from pilotage.serve.routing import headers
from pilotage.serve.routing.routed_format import RoutedFormat
from pilotage.serve.routing.tier_response import TierResponse

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing


class RoutedResponse(TierResponse):
    """Sends what the router answers.

    Args:
        context: The gateway's.
        routing: Answers.
        exchange: The request's.
        call: What is asked.
        model: The name it was asked by.
        stream: Whether the answer is sent as it comes.
        with_usage: Whether a stream ends with the token counts.
        reservation: What is kept for it of its key's budget.
    """

    def __init__(
        self,
        context: GatewayContext,
        routing: Routing,
        exchange: Exchange,
        call: Call,
        *,
        model: str,
        stream: bool,
        with_usage: bool,
        reservation: Reservation | None,
    ) -> None:
        super().__init__(context, exchange, routing, reservation)
        self._call = call
        self._model = model
        self._stream = stream
        self._with_usage = with_usage

    async def _answer(self, send: Send) -> None:
        routing, exchange = self._routing, self._exchange
        began = time.monotonic()
        answer = await routing.router.answer(self._call, model=self._model, stream=self._stream)
        try:
            exchange.model = answer.tier
            exchange.headers[headers.TIER] = answer.tier
            exchange.headers[headers.DECISION] = headers.header_text(answer.decision)
            if self._stream:
                await self._send_stream(answer, send)
            else:
                await self._send_whole(answer, send)
        finally:
            await answer.aclose()
            # Also of an answer that broke off: it is on the bill, so on the limits too.
            self._count(answer)
        routing.metrics.answered(escalations=answer.escalations, added_s=began - exchange.arrived)

    async def _send_stream(self, answer: RoutedAnswer, send: Send) -> None:
        exchange = self._exchange
        writer: RoutedFormat | None = None
        finish_reason = "stop"
        async for chunk in answer:
            now = exchange.last_token_at = time.monotonic()
            events = b""
            if writer is None:
                exchange.first_token_at = now
                writer = RoutedFormat(chunk.model or answer.tier, with_usage=self._with_usage)
                events = writer.opening()
                await self._begin(send, STREAM_HEADERS)
            events += writer.chunk(chunk)
            finish_reason = chunk.finish_reason or finish_reason
            if events:
                await send({"type": "http.response.body", "body": events, "more_body": True})
        if writer is None:
            writer = RoutedFormat(answer.tier, with_usage=self._with_usage)
            await self._begin(send, STREAM_HEADERS)
        exchange.finish_reason = finish_reason
        # Estimated where the tier told nothing: what is shown is what is billed.
        usage = self._count(answer)
        end = writer.ending(finish_reason, usage, answer.cost)
        await send({"type": "http.response.body", "body": end})

    async def _send_whole(self, answer: RoutedAnswer, send: Send) -> None:
        exchange = self._exchange
        async for _ in answer:
            exchange.last_token_at = time.monotonic()
            if exchange.first_token_at is None:
                exchange.first_token_at = exchange.last_token_at
        said = answer.answer
        exchange.finish_reason = said.finish_reason or "stop"
        # Estimated where the tier told nothing: what is shown is what is billed.
        usage = self._count(answer)
        body = RoutedFormat(said.model or answer.tier, with_usage=False).whole(said, usage)
        exchange.headers[headers.COST] = headers.money_text(answer.cost)
        await self._send_json(send, body)

    def _count(self, answer: RoutedAnswer) -> Usage:
        exchange, usage = self._exchange, answer.attempt.usage
        exchange.prompt_tokens = usage.prompt_tokens
        exchange.completion_tokens = exchange.longest = usage.completion_tokens
        return usage
