"""A tier's backend that is a model of this server, without HTTP to ourselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import msgspec

from pilotage.engines.engine import Image
from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import ChatEvents
from pilotage.route.backends.refusal import refusal
from pilotage.route.backends.sse import EventReader
from pilotage.route.call import Call
from pilotage.serve.api.chat_request import ChatRequest
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.forwarding import check_passed_on
from pilotage.serve.api.generations import conversation_prompt
from pilotage.serve.api.image_parts import Conversation, load_images
from pilotage.serve.api.sampling import check_engine_has, sampling_params
from pilotage.serve.api.sequence import Choice, TextOptions
from pilotage.serve.api.submission import known_context_length
from pilotage.serve.api.validation import parse
from pilotage.serve.external.backend import EngineLost, ExternalBackend
from pilotage.serve.generation import GenerationFailed, SubmitRequest

_NOTHING_DONE: Final = {429: Fault.RATE_LIMITED, 503: Fault.OVERLOADED, 504: Fault.TIMEOUT}
_BROKEN_OFF: Final = frozenset({"cancelled", "error"})
_LONGEST_REFUSAL: Final = 64 << 10


class LocalBackend:
    """Asks a model that this gateway serves.

    Args:
        name: Unique in the router: "tier/0".
        context: The gateway's.
        model: The model's name, or an alias, which is resolved anew for each request.
    """

    def __init__(self, name: str, context: GatewayContext, model: str) -> None:
        self.name = name
        self._context = context
        self._model = model

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """See `Backend.complete`."""
        context = self._context
        model = context.models.find(self._model)
        if model is None:
            raise BackendError(Fault.DENIED, f"this server does not serve {self._model!r}")
        body = {**call.body, "model": model.name}
        chunks = (
            _generated(context, model, body, call.request_id)
            if model.backend is None
            else _forwarded(model.backend, model.name, body)
        )
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        except ApiError as error:
            raise _failure(error.status, error.message, error.retry_after_s) from None
        except GenerationFailed as error:
            raise _failure(error.status, error.message, error.retry_after_s) from None

    async def close(self) -> None:
        """Nothing is kept."""


async def _generated(
    context: GatewayContext, model: ServedModel, body: dict[str, Any], request_id: str
) -> AsyncGenerator[Chunk, None]:
    """The answer of a model that workers hold."""
    chat = parse(ChatRequest, {**body, "stream": True})
    conversation = Conversation.of(chat)
    prompt = await conversation_prompt(model, conversation)
    params = sampling_params(
        chat,
        prompt_tokens=len(prompt),
        context_length=known_context_length(context, model),
        eos_token_ids=model.tokenizer.eos_token_ids,
    )
    info = model.info()
    if info is not None:
        check_engine_has(params, info)
    pixels: tuple[Image, ...] = ()
    wanted = SubmitRequest(request_id, prompt, params)
    if conversation.images:
        model.dispatcher.check([wanted])
        pixels = await load_images(context, model, conversation.images)
        wanted = SubmitRequest(request_id, prompt, params, images=pixels)
    (generation,) = model.dispatcher.submit([wanted])
    options = TextOptions(
        stops=tuple(chat.stops),
        include_stop=bool(chat.include_stop_str_in_output),
        skip_special_tokens=chat.skip_special_tokens is not False,
        min_tokens=chat.min_tokens or 0,
        logprobs=params.logprobs,
    )
    choice = Choice(0, generation, model.tokenizer, options)
    name: str | None = model.name
    try:
        async for chunk in generation:
            piece = choice.take(chunk)
            if piece.finish_reason in _BROKEN_OFF:
                break
            ended = piece.finish_reason is not None
            usage = Usage(
                prompt_tokens=len(prompt),
                completion_tokens=choice.tokens,
                images=len(pixels),
            )
            yield Chunk(
                text=piece.text,
                logprobs=tuple(token.logprob for token in piece.scored),
                finish_reason=piece.finish_reason,
                # With every chunk: an answer that is cut off here is billed to the token.
                usage=usage,
                model=name,
            )
            name = None
            if ended:
                return
    finally:
        generation.cancel()
    raise BackendError(Fault.CUT, "the generation ended before its answer was complete")


async def _forwarded(
    backend: ExternalBackend, name: str, body: dict[str, Any]
) -> AsyncGenerator[Chunk, None]:
    """The answer of a model whose engine is a server of its own."""
    size = check_passed_on(body)
    content = msgspec.json.encode(
        {**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    tokens = backend.estimate(size.bytes, size.ids)
    events, reader, began = ChatEvents(), EventReader(), False
    try:
        async with (
            backend.admitted(tokens, 1) as ticket,
            backend.post("/v1/chat/completions", content) as answer,
        ):
            if answer.status_code != 200:
                said = b""
                async for piece in answer.aiter_raw():
                    said = (said + piece)[:_LONGEST_REFUSAL]
                raise refusal(answer.status_code, {}, said)
            async for piece in answer.aiter_raw():
                if not began:
                    began = True
                    backend.began(ticket)
                for event in reader.feed(piece):
                    chunk = events.event(event)
                    if chunk is not None:
                        yield replace(chunk, model=name)  # whatever the engine calls itself
    except EngineLost:
        raise BackendError(
            Fault.CUT if began else Fault.UNREACHABLE, "the engine does not answer"
        ) from None
    if not events.finished:
        raise BackendError(Fault.CUT, "the engine's answer ended without a finish reason")
    yield replace(events.last(), model=name)


def _failure(status: int, message: str, retry_after_s: float | None) -> BackendError:
    """What a refusal of our own API means to a tier."""
    fault = _NOTHING_DONE.get(status, Fault.REFUSED if status < 500 else Fault.FAILED)
    if status == 502:
        fault = Fault.CUT  # a worker died with it
    return BackendError(fault, message, status=status, retry_after_s=retry_after_s, detail=message)
