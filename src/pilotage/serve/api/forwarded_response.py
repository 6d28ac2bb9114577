"""An engine's own answer, passed on byte by byte."""

from __future__ import annotations

import logging
import re
import time
from typing import Final

import httpx
from starlette.types import Send

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.watched_response import STREAM_HEADERS, WatchedResponse
from pilotage.serve.external.backend import EngineLost, ExternalBackend, Ticket
from pilotage.serve.generation import GenerationFailed

_LOG = logging.getLogger(__name__)
_TAIL: Final = 4096
_LARGEST_ANSWER: Final = 64 << 20
_ATTEMPTS: Final = 2

# In JSON a quotation mark inside a string is escaped, so these are fields and never text.
_USAGE: Final = {
    name: re.compile(rb'(?<!\\)"' + name + rb'"\s*:\s*(\d{1,9})')
    for name in (b"prompt_tokens", b"completion_tokens")
}
_FINISH: Final = re.compile(rb'(?<!\\)"finish_reason"\s*:\s*"(\w{1,32})"')


class ForwardedResponse(WatchedResponse):
    """Sends what an engine answers.

    A stream's bytes go to the client as they come from the engine, unparsed; only its end is
    looked at, for the counts that metrics and rate limits need. A stream without usage counts its
    events instead. Anything else is read whole before it is sent, so that an engine that dies
    meanwhile is asked once more. When the client hangs up, the connection to the engine is closed
    at once, which ends its work.

    Args:
        context: The gateway's.
        exchange: The request's.
        backend: The engine.
        path: Its route.
        body: What it is sent.
        stream: Whether the answer is a stream of events.
        prompt_tokens: The prompt's tokens, estimated.
        prompt_bytes: The prompt's text, to learn from; 0 for one of token ids.
        sequences: How many sequences are asked for.
    """

    def __init__(
        self,
        context: GatewayContext,
        exchange: Exchange,
        backend: ExternalBackend,
        path: str,
        body: bytes,
        *,
        stream: bool,
        prompt_tokens: float,
        prompt_bytes: int,
        sequences: int,
    ) -> None:
        super().__init__(context, exchange)
        self._backend = backend
        self._path = path
        self._body = body
        self._stream = stream
        self._prompt_tokens = prompt_tokens
        self._prompt_bytes = prompt_bytes
        self._sequences = sequences
        self._tail = b""
        self._events = 0

    async def _answer(self, send: Send) -> None:
        async with self._backend.admitted(self._prompt_tokens, self._sequences) as ticket:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    await self._attempt(ticket, send)
                except EngineLost:
                    if self._started:
                        raise _died() from None
                    if attempt == _ATTEMPTS or not await self._backend.back_again():
                        raise self._lost() from None
                else:
                    return

    async def _attempt(self, ticket: Ticket, send: Send) -> None:
        async with self._backend.post(self._path, self._body) as answer:
            try:
                if answer.status_code != 200:
                    await self._refused(answer, send)
                elif self._stream:
                    await self._pass_on(answer, ticket, send)
                else:
                    await self._send_whole(answer, ticket, send)
            except httpx.TransportError as error:
                raise EngineLost from error

    async def _pass_on(self, answer: httpx.Response, ticket: Ticket, send: Send) -> None:
        exchange = self._exchange
        async for chunk in answer.aiter_raw():
            if not chunk:
                continue
            exchange.last_token_at = time.monotonic()
            if not self._started:
                self._backend.began(ticket)
                exchange.first_token_at = exchange.last_token_at
                await self._begin(send, STREAM_HEADERS)
            self._tail = chunk[-_TAIL:] if len(chunk) >= _TAIL else (self._tail + chunk)[-_TAIL:]
            self._events += chunk.count(b"\n\n")
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not self._started:
            raise EngineLost
        await send({"type": "http.response.body", "body": b""})

    async def _send_whole(self, answer: httpx.Response, ticket: Ticket, send: Send) -> None:
        body = await _whole(answer)
        self._backend.began(ticket, whole=True)
        # The engine writes the usage behind the text; what the text says is escaped.
        self._tail = body[-_TAIL:]
        self._exchange.last_token_at = time.monotonic()
        await self._send_body(send, 200, answer, body)

    async def _refused(self, answer: httpx.Response, send: Send) -> None:
        """Pass on what is the client's fault; say what is the engine's."""
        body = await _whole(answer)
        status = answer.status_code
        if status in (401, 403) or status >= 500:
            _LOG.warning(
                "the engine of %s answered request %s with %d: %s",
                self._backend.name,
                self._exchange.request_id,
                status,
                body[:500].decode(errors="replace"),
            )
            raise ApiError(
                f"The engine failed to answer ({status}).",
                status=503 if status == 503 else 502,
                code="engine_error",
                retry_after_s=1.0 if status == 503 else None,
            )
        self._exchange.reason = "engine_refused"
        await self._send_body(send, status, answer, body)

    async def _send_body(
        self, send: Send, status: int, answer: httpx.Response, body: bytes
    ) -> None:
        media_type = answer.headers.get("content-type", "application/json")
        headers = [
            (b"content-type", media_type.encode("latin-1", "replace")),
            (b"content-length", b"%d" % len(body)),
        ]
        await self._begin(send, headers, status)
        await send({"type": "http.response.body", "body": body})

    def _lost(self) -> GenerationFailed:
        if not self._backend.up:
            return self._backend.unavailable()
        return GenerationFailed(
            "the engine broke off before its answer began", status=502, code="worker_died"
        )

    def _end(self) -> None:
        """Take the counts from the end of the answer."""
        exchange = self._exchange
        found = {name: pattern.findall(self._tail) for name, pattern in _USAGE.items()}
        prompt, completion = found[b"prompt_tokens"], found[b"completion_tokens"]
        if prompt:
            counted = int(prompt[-1])
            self._backend.counted(self._prompt_bytes, counted)
            self._charge_rest(counted)
            exchange.prompt_tokens = counted
        if completion:
            exchange.completion_tokens = int(completion[-1])
        elif self._stream:
            # Of the events the first names the role and the last one says that it was the last.
            exchange.completion_tokens = max(0, self._events - 2)
        exchange.longest = exchange.completion_tokens // max(1, self._sequences)
        reasons = _FINISH.findall(self._tail)
        if reasons and exchange.finish_reason is None:
            exchange.finish_reason = reasons[-1].decode()

    def _charge_rest(self, counted: int) -> None:
        """The estimate was charged; the key pays for what the prompt has beyond it."""
        limits, key = self._context.rate_limits, self._exchange.key
        beyond = counted - round(self._prompt_tokens)
        if limits is not None and key is not None and beyond > 0:
            limits.charge(key.id, beyond, time.monotonic())

    def _gap(self) -> bytes:
        # The engine may have broken off in the middle of an event.
        return b"" if self._tail.endswith(b"\n\n") else b"\n\n"


def _died() -> GenerationFailed:
    return GenerationFailed(
        "the engine that generated this answer died; send the request again",
        status=502,
        code="worker_died",
    )


async def _whole(answer: httpx.Response) -> bytes:
    """A body, bounded.

    Raises:
        ApiError: It is longer than anything that makes sense.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > _LARGEST_ANSWER:
            raise ApiError("The engine's answer is too long.", status=502, code="engine_error")
        parts.append(chunk)
    return b"".join(parts)
