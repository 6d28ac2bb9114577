"""An answer that goes through as the provider writes it, byte by byte."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.types import Send

from pilotage.route.backends.attempt_stream import RawStream
from pilotage.route.backends.tier import Tier
from pilotage.route.ledger.budgets import Reservation
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.watched_response import STREAM_HEADERS
from pilotage.serve.routing import headers as names
from pilotage.serve.routing.tier_response import TierResponse

if TYPE_CHECKING:
    from pilotage.serve.routing.routing import Routing

# In JSON a quotation mark inside a string is escaped, so these are fields and never text.
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"(\w{1,32})"')
_TOTALS: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
"""In the event that only tells the usage."""

_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_object = msgspec.json.Decoder(dict[str, Any]).decode


class RawResponse(TierResponse):
    """Sends what a tier's backend answers.

    Args:
        context: The gateway's.
        routing: Has the tier.
        exchange: The request's.
        tier: Who answers.
        body: What it is sent; the model in it becomes the backend's.
        decision: Why this tier.
        stream: Whether the answer is a stream of events.
        with_usage: Whether a stream ends with the token counts.
        reservation: What is kept for it of its key's budget.
    """

    def __init__(
        self,
        context: GatewayContext,
        routing: Routing,
        exchange: Exchange,
        tier: Tier,
        body: bytes,
        *,
        decision: str,
        stream: bool,
        with_usage: bool,
        reservation: Reservation | None,
    ) -> None:
        super().__init__(context, exchange, routing, reservation)
        self._tier = tier
        self._body = body
        self._decision = decision
        self._stream = stream
        self._with_usage = with_usage

    async def _answer(self, send: Send) -> None:
        exchange, routing = self._exchange, self._routing
        exchange.model = self._tier.name
        began = time.monotonic()
        answer = self._tier.forward(
            self._body,
            stream=self._stream,
            request_id=exchange.request_id,
            key_id=None if exchange.key is None else exchange.key.id,
            deadline=exchange.arrived + self._limit_s(),
            decision=self._decision,
        )
        try:
            if self._stream:
                await self._send_stream(answer, send)
            else:
                await self._send_whole(answer, send)
        finally:
            await answer.aclose()
            # Also of an answer that broke off: it is on the bill, so on the limits too.
            self._count(answer)
        routing.metrics.answered(escalations=0, added_s=began - exchange.arrived)

    async def _send_stream(self, answer: RawStream, send: Send) -> None:
        exchange = self._exchange
        piece = held = b""
        async for piece in answer:
            if not self._started:
                exchange.first_token_at = time.monotonic()
                await self._begin(send, STREAM_HEADERS)
            if held or (self._with_usage and _TOTALS.search(piece) is not None):
                held += piece  # what it cost is known in a moment
                continue
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._ended(answer, held or piece)
        if held:
            held = with_cost(held, answer.cost)
        await send({"type": "http.response.body", "body": held})

    async def _send_whole(self, answer: RawStream, send: Send) -> None:
        exchange = self._exchange
        body = b""
        async for piece in answer:
            exchange.first_token_at = time.monotonic()
            body = piece if not body else body + piece
        self._ended(answer, body)
        exchange.headers[names.COST] = names.money_text(answer.cost)
        await self._send_json(send, body)

    async def _begin(
        self, send: Send, headers: list[tuple[bytes, bytes]], status: int = 200
    ) -> None:
        added = self._exchange.headers
        added[names.TIER] = self._tier.name
        added[names.DECISION] = self._decision
        await super()._begin(send, headers, status)

    def _count(self, answer: RawStream) -> None:
        if not answer.attempts:
            return  # no backend could be asked
        exchange, usage = self._exchange, answer.attempt.usage
        exchange.prompt_tokens = usage.prompt_tokens
        exchange.completion_tokens = exchange.longest = usage.completion_tokens

    def _ended(self, answer: RawStream, end: bytes) -> None:
        self._count(answer)
        exchange = self._exchange
        exchange.last_token_at = time.monotonic()
        reasons = _FINISH.findall(end)
        exchange.finish_reason = reasons[-1].decode() if reasons else None


def with_cost(events: bytes, cost: Decimal) -> bytes:
    """The last events of a stream, with the cost where they tell the usage."""
    told: list[bytes] = []
    for event in events.replace(b"\r\n", b"\n").split(b"\n\n"):
        if _TOTALS.search(event) is not None:
            try:
                said = _object(event.removeprefix(b"data:"))
            except _NOT_JSON:
                said = {}
            if isinstance(said.get("usage"), dict):
                said["usage"]["cost_usd"] = names.money_text(cost)
                event = b"data: " + msgspec.json.encode(said)  # noqa: PLW2901
        told.append(event)
    return b"\n\n".join(told)
