"""The two endpoints that generate: chat and completions."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pilotage.engines.engine import Image, SamplingParams
from pilotage.serve.api.answer_format import AnswerFormat, Envelope, fingerprint, new_id
from pilotage.serve.api.chat_format import ChatFormat
from pilotage.serve.api.chat_request import ChatRequest
from pilotage.serve.api.completion_format import CompletionFormat
from pilotage.serve.api.completion_request import CompletionRequest
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.forwarding import forward, forwarded_model
from pilotage.serve.api.generation_response import GenerationResponse
from pilotage.serve.api.image_parts import (
    Conversation,
    SentImage,
    count_image_tokens,
    load_images,
)
from pilotage.serve.api.lifted_body import lifted_images
from pilotage.serve.api.sampling import check_engine_has, of_choice, sampling_params
from pilotage.serve.api.sequence import Choice, TextOptions
from pilotage.serve.api.submission import (
    charge_prompt,
    check_admission,
    check_count,
    engine_name,
    find_model,
    known_context_length,
    submit,
    tokenized,
)
from pilotage.serve.api.tasks import check_task
from pilotage.serve.api.validation import parse
from pilotage.serve.api.waiting import while_waited_for
from pilotage.tokens import ChatTemplateError


async def answer_chat(context: GatewayContext, request: Request, body: dict[str, Any]) -> Response:
    """The response to the body of a chat request."""
    if (external := forwarded_model(context, body)) is not None:
        return forward(context, request, external, "/v1/chat/completions", body)
    exchange = Exchange.of(request.scope)
    exchange.operation = "chat"
    chat = parse(ChatRequest, body)
    model = _model(context, exchange, chat.model)
    check_count(context, prompts=1, choices=chat.choices)
    conversation = Conversation.of(chat, lifted_images(request))
    return await answer_conversation(context, request, model, chat, conversation, answer=None)


async def answer_conversation(
    context: GatewayContext,
    request: Request,
    model: ServedModel,
    chat: ChatRequest,
    conversation: Conversation,
    *,
    answer: AnswerFormat | None,
) -> Response:
    """The model's answer to a conversation.

    Args:
        context: The gateway's.
        request: The request.
        model: Who answers.
        chat: How; its messages are not looked at.
        conversation: To what.
        answer: Writes the answer; by default as the OpenAI API does.

    Raises:
        ApiError: It cannot be answered.
    """
    prompt = await conversation_prompt(model, conversation)
    return await _generate(
        context,
        request,
        model,
        chat,
        prompts=[prompt],
        answer=answer or _chat_format(model, chat),
        images=conversation.images,
    )


def _chat_format(model: ServedModel, chat: ChatRequest) -> ChatFormat:
    envelope = _envelope("chatcmpl", model, with_usage=chat.wants_usage_chunk)
    return ChatFormat(
        envelope,
        model.tokenizer,
        logprobs=bool(chat.logprobs),
        top_logprobs=bool(chat.top_logprobs),
    )


async def answer_completion(
    context: GatewayContext, request: Request, body: dict[str, Any]
) -> Response:
    """The response to the body of a completion request."""
    if (external := forwarded_model(context, body)) is not None:
        return forward(context, request, external, "/v1/completions", body)
    exchange = Exchange.of(request.scope)
    exchange.operation = "text_completion"
    completion = parse(CompletionRequest, body)
    model = _model(context, exchange, completion.model)
    check_count(context, prompts=len(completion.prompts), choices=completion.choices)
    prompts = [await _prompt(model, one, completion) for one in completion.prompts]
    envelope = _envelope("cmpl", model, with_usage=completion.wants_usage_chunk)
    answer = CompletionFormat(envelope, model.tokenizer, logprobs=completion.logprobs)
    return await _generate(context, request, model, completion, prompts=prompts, answer=answer)


async def chat_prompt(model: ServedModel, chat: ChatRequest) -> list[int]:
    """The token ids of a conversation.

    Raises:
        ApiError: The model's chat template cannot take it.
    """
    return await conversation_prompt(model, Conversation.of(chat))


async def conversation_prompt(model: ServedModel, conversation: Conversation) -> list[int]:
    """The token ids of a conversation; each image is one image token.

    Raises:
        ApiError: The model, or its chat template, cannot take it.
    """
    try:
        messages = conversation.for_model(model)
        prompt = await tokenized(
            lambda: model.tokenizer.encode_chat(
                messages, template_kwargs=conversation.template_kwargs
            ),
            conversation.chars,
        )
    except ChatTemplateError as error:
        raise ApiError(f"{error}.", code="invalid_messages", param="messages") from None
    conversation.check_prompt(model, prompt)
    return prompt


async def _prompt(
    model: ServedModel, prompt: str | list[int], completion: CompletionRequest
) -> list[int]:
    if isinstance(prompt, str):
        special = completion.add_special_tokens is not False
        tokenizer = model.tokenizer
        ids = await tokenized(
            lambda: tokenizer.encode(prompt, add_special_tokens=special), len(prompt)
        )
        if not ids:
            raise invalid("prompt", "The prompt has no tokens.")
    else:
        ids = prompt
        check_vocabulary(model, ids, "prompt")
    if model.vision is not None and count_image_tokens(model, model.vision, ids):
        raise invalid(
            "prompt",
            f"The prompt has a place for an image ({model.vision.image_token}); images are for "
            "chat and /infer.",
        )
    return ids


def check_vocabulary(model: ServedModel, ids: list[int], param: str) -> None:
    """Check that token ids are the model's.

    Raises:
        ApiError: One of them is not.
    """
    size = model.tokenizer.vocab_size
    if max(ids, default=0) >= size:
        raise invalid(param, f"The token id {max(ids)} is not one of the model's {size}.")


def _model(context: GatewayContext, exchange: Exchange, name: str) -> ServedModel:
    model = find_model(context, name)
    exchange.model = model.name
    check_task(model, "generate")
    return model


def _envelope(prefix: str, model: ServedModel, *, with_usage: bool) -> Envelope:
    return Envelope(
        id=new_id(prefix),
        model=model.name,
        fingerprint=fingerprint(model.name, engine_name(model.info())),
        with_usage=with_usage,
    )


async def _generate(
    context: GatewayContext,
    request: Request,
    model: ServedModel,
    wanted: ChatRequest | CompletionRequest,
    *,
    prompts: list[list[int]],
    answer: AnswerFormat,
    images: tuple[SentImage, ...] = (),
) -> Response:
    exchange = Exchange.of(request.scope)
    sequences = _sequences(context, model, wanted, prompts)
    stream = bool(wanted.stream)
    exchange.span = context.tracer.start(
        "chat" if isinstance(wanted, ChatRequest) else "text_completion",
        model.name,
        headers=request.headers,
        params=sequences[0][1],
        request_id=exchange.request_id,
        choices=wanted.choices,
        stream=stream,
    )
    prompt_tokens = sum(map(len, prompts))
    charge_prompt(context, exchange, prompt_tokens)
    pixels: tuple[Image, ...] = ()
    if images:  # last, for it is the dear part of looking at a request
        check_admission(context, model, exchange, sequences)
        pixels = await while_waited_for(context, request, load_images(context, model, images))
    generations = submit(context, model, exchange, sequences, restartable=not stream, images=pixels)
    exchange.prompt_tokens = prompt_tokens
    options = TextOptions(
        stops=tuple(wanted.stops),
        include_stop=bool(wanted.include_stop_str_in_output),
        skip_special_tokens=wanted.skip_special_tokens is not False,
        min_tokens=wanted.min_tokens or 0,
        logprobs=sequences[0][1].logprobs,
    )
    choices = [
        Choice(index, generation, model.tokenizer, options)
        for index, generation in enumerate(generations)
    ]
    return GenerationResponse(context, exchange, choices, answer, stream=stream)


def _sequences(
    context: GatewayContext,
    model: ServedModel,
    wanted: ChatRequest | CompletionRequest,
    prompts: list[list[int]],
) -> list[tuple[list[int], SamplingParams]]:
    """Every prompt as often as choices are wanted of it, with its sampling parameters."""
    context_length = known_context_length(context, model)
    info = model.info()
    sequences: list[tuple[list[int], SamplingParams]] = []
    for prompt in prompts:
        params = sampling_params(
            wanted,
            prompt_tokens=len(prompt),
            context_length=context_length,
            eos_token_ids=model.tokenizer.eos_token_ids,
        )
        if info is not None:
            check_engine_has(params, info)
        sequences += [(prompt, of_choice(params, index)) for index in range(wanted.choices)]
    return sequences
