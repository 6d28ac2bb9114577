"""Any server that speaks OpenAI's chat API, over HTTP/1.1."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import msgspec

from pilotage.errors import UsageError
from pilotage.route.answer import Chunk
from pilotage.route.backends.address import Address
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import NOT_JSON, ChatEvents
from pilotage.route.backends.http import HttpClient
from pilotage.route.backends.raw_answer import RawAnswer
from pilotage.route.backends.refusal import MAX_REFUSAL, refusal
from pilotage.route.backends.reply import Reply
from pilotage.route.backends.sse import EventReader
from pilotage.route.call import Call

_PATH: Final = "/chat/completions"
_AFTER_FINISH_S: Final = 2.0
"""How long usage is waited for after the finish reason; servers send it at once or never."""

_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class OpenAIBackend:
    """Asks one OpenAI-compatible address.

    Args:
        name: Unique in the router: "tier/0".
        url: Base address, with its ``/v1``.
        model: What the server calls the model.
        api_key: Sent as a bearer token; None for open servers.
        timeout_s: Longest time for an answer, from the request to its last byte.
        first_token_timeout_s: Longest wait for the first byte of a stream.
        max_concurrency: Connections that are kept. How many requests are in flight is the tier's
            to bound.

    Attributes:
        model: As given.

    Raises:
        UsageError: The address or the key cannot be sent.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        model: str,
        api_key: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
    ) -> None:
        self.name = name
        self.model = model
        self._timeout_s = timeout_s
        self._first_token_timeout_s = first_token_timeout_s
        self._model_json = msgspec.Raw(_encode(model))
        headers: tuple[tuple[str, str], ...] = (("User-Agent", "pilotage"),)
        if api_key is not None:
            if not api_key or not api_key.isascii() or not api_key.isprintable():
                raise UsageError(
                    "the API key is empty, or has characters that no key has",
                    where=name,
                    hint="Look for a line break at its end",
                )
            headers = (*headers, ("Authorization", f"Bearer {api_key}"))
        self._client = HttpClient(
            Address.parse(url, where=name), headers, most_idle=max_concurrency
        )

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: see `Backend.complete`."""
        fields = {
            **call.body,
            "model": self.model,
            "stream": True,
            "stream_options": _with_usage(call.body.get("stream_options")),
        }
        first_s, whole_s = self._limits(call.deadline)
        reply = await self._post(_encode(fields), first_s, whole_s)
        try:
            events = ChatEvents()
            if _is_stream(reply):
                async for chunk in _chunks(reply, events):
                    yield chunk
            else:
                # It was asked for a stream and knows none.
                chunk_ = events.event(await reply.whole())
                if chunk_ is not None:
                    yield chunk_
            if not events.finished:
                raise BackendError(
                    Fault.CUT, "the answer ended without a finish reason", usage=events.usage
                )
            yield events.last()
        finally:
            reply.close()

    async def forward(
        self, body: bytes, *, stream: bool, deadline: float = float("inf")
    ) -> RawAnswer:
        """One attempt whose answer is passed on as it comes.

        Args:
            body: The client's whole JSON body; its ``model`` is replaced by this backend's, and
                a stream is asked for its usage.
            stream: Whether it asks for a stream.
            deadline: On `time.monotonic`'s clock.

        Returns:
            A 200 answer: a stream whose first event is there, or a whole answer, read.

        Raises:
            BackendError: Any other answer, or none.
        """
        try:
            fields = _fields_of(body)
        except NOT_JSON:
            raise BackendError(Fault.REFUSED, "the request is no JSON object", status=400) from None
        fields["model"] = self._model_json
        hide_usage = False
        if stream:
            asked = fields.get("stream_options")
            options = msgspec.json.decode(asked) if asked is not None else {}
            # What is no object is the backend's to refuse.
            if isinstance(options, Mapping) and not options.get("include_usage"):
                hide_usage = True
                fields["stream_options"] = msgspec.Raw(_encode(_with_usage(options)))
        first_s, whole_s = self._limits(deadline)
        # A whole answer has no first token that could be waited for.
        reply = await self._post(_encode(fields), first_s if stream else whole_s, whole_s)
        if not stream and _is_stream(reply):
            reply.close()
            raise BackendError(Fault.GARBAGE, "the backend answered with a stream, unasked")
        answer = RawAnswer(
            reply, hide_usage=hide_usage, stream=_is_stream(reply), wanted_stream=stream
        )
        try:
            await answer.begin()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def close(self) -> None:
        """Let go of connections; answers under way are cut."""
        await self._client.close()

    def _limits(self, deadline: float) -> tuple[float, float]:
        whole_s = min(self._timeout_s, deadline - time.monotonic())
        if whole_s <= 0:
            raise BackendError(Fault.TIMEOUT, "the request's time is over")
        return min(self._first_token_timeout_s, whole_s), whole_s

    async def _post(self, body: bytes, first_s: float, whole_s: float) -> Reply:
        """Send; a 200 answer, uncompressed."""
        reply = await self._client.post(_PATH, body, first_byte_s=first_s, whole_s=whole_s)
        try:
            await _check(reply)
        except BaseException:
            reply.close()
            raise
        return reply


def _with_usage(options: Any) -> dict[str, Any]:
    return {**(options if isinstance(options, Mapping) else {}), "include_usage": True}


def _is_stream(reply: Reply) -> bool:
    return reply.headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")


async def _chunks(reply: Reply, events: ChatEvents) -> AsyncGenerator[Chunk, None]:
    """What a stream adds to the answer, until it ends or has said all that matters."""
    reader = EventReader()
    waiting = False
    while True:
        try:
            data = await reply.read()
        except BackendError as error:
            if events.finish_reason is not None:
                return  # the answer is whole; what is missing is its usage
            error.usage = error.usage or events.usage
            raise
        for event in reader.feed(data) if data else reader.end():
            chunk = events.event(event)
            if chunk is not None:
                yield chunk
            if events.done:
                reply.let_go()
                return
        if not data:
            return
        if events.finish_reason is not None and not waiting:
            waiting = True
            loop = asyncio.get_running_loop()
            reply.expect(float("inf"), loop.time() + _AFTER_FINISH_S)


async def _check(reply: Reply) -> None:
    """Raise `BackendError` unless it is an answer that can be read."""
    if reply.status == 200:
        if reply.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise BackendError(Fault.GARBAGE, "the answer is compressed, which was not asked")
        return
    try:
        body = await reply.whole(MAX_REFUSAL)
    except BackendError:
        body = b""
    raise refusal(reply.status, reply.headers, body)
