"""Prompts into token ids and back, as vLLM's ``/tokenize`` and ``/detokenize`` do it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pilotage.serve.api.chat_request import MAX_MESSAGES, ChatRequest, Message
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.fields import Body
from pilotage.serve.api.generations import chat_prompt, check_vocabulary
from pilotage.serve.api.submission import find_model, tokenized
from pilotage.serve.api.validation import parse

_Model = Annotated[str, Field(min_length=1, max_length=512)]


class TokenizeRequest(Body):
    """A prompt, or the messages of a conversation."""

    model: _Model | None = None
    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class DetokenizeRequest(Body):
    """Token ids."""

    model: _Model | None = None
    tokens: list[Annotated[int, Field(ge=0, le=2**31 - 1)]]


async def tokenize(
    context: GatewayContext, exchange: Exchange, body: dict[str, Any]
) -> dict[str, Any]:
    """The tokens of a prompt or of messages.

    Raises:
        ApiError: The request does not fit.
    """
    request = parse(TokenizeRequest, body)
    if (request.prompt is None) == (request.messages is None):
        raise invalid("prompt", "Give either 'prompt' or 'messages'.")
    model = find_model(context, request.model, peek=True)
    exchange.model = model.name
    tokenizer = model.tokenizer
    if request.prompt is not None:
        text, special = request.prompt, request.add_special_tokens is not False
        ids = await tokenized(lambda: tokenizer.encode(text, add_special_tokens=special), len(text))
    else:
        ids = await chat_prompt(
            model,
            ChatRequest(
                model=model.name,
                messages=request.messages or [],
                chat_template_kwargs=request.chat_template_kwargs,
            ),
        )
    spelled = [tokenizer.token_text(token) for token in ids] if request.return_token_strs else None
    return {
        "count": len(ids),
        "max_model_len": model.context_length(),
        "tokens": ids,
        "token_strs": spelled,
    }


def detokenize(context: GatewayContext, exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
    """The text of tokens.

    Raises:
        ApiError: The request does not fit.
    """
    request = parse(DetokenizeRequest, body)
    model = find_model(context, request.model, peek=True)
    exchange.model = model.name
    check_vocabulary(model, request.tokens, "tokens")
    return {"prompt": model.tokenizer.decode(request.tokens, skip_special_tokens=False)}
