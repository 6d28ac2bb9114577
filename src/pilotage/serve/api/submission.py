"""From a checked request to generations that run: prompt, parameters, budget, admission."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from pilotage.engines.engine import EngineInfo, Image, SamplingParams
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.generation import (
    Generation,
    GenerationFailed,
    SubmitRequest,
    Unavailable,
)
from pilotage.serve.rate_limits import Limited

_RETRY_AFTER_S = 5.0  # when nobody knows better
_LONG_TEXT_CHARS = 8192

T = TypeVar("T")


def find_model(context: GatewayContext, name: str | None, *, peek: bool = False) -> ServedModel:
    """The served model called `name`; the first one for ``None``.

    Args:
        context: The gateway's.
        name: What the client calls it.
        peek: Nothing is generated, so that the request takes no turn of an alias's targets.

    Raises:
        ApiError: 404, listing the models.
    """
    model = context.models.peek(name) if peek else context.models.find(name)
    if model is None:
        if name in _routed_names(context):
            raise invalid("model", f"The model '{name}' is routed, and answers chat requests only.")
        raise ApiError(
            f"The model '{(name or '')[:128]}' does not exist. Served here: "
            f"{', '.join((*_routed_names(context), *context.models.names()))}.",
            status=404,
            code="model_not_found",
            param="model",
        )
    return model


def _routed_names(context: GatewayContext) -> tuple[str, ...]:
    return () if context.routing is None else context.routing.names


def known_context_length(context: GatewayContext, model: ServedModel) -> int:
    """Longest prompt plus completion of the model, tokens.

    Raises:
        ApiError: 503, while the model loads.
    """
    length = model.context_length()
    if length is None:
        loading = Unavailable(
            f"The model '{model.name}' is loading.", retry_after_s=None, code="model_loading"
        )
        raise api_error(context, loading)
    return length


async def tokenized(work: Callable[[], T], chars: int) -> T:
    """The result of tokenizing `chars` characters, without holding up everybody else."""
    return await asyncio.to_thread(work) if chars > _LONG_TEXT_CHARS else work()


def charge_prompt(context: GatewayContext, exchange: Exchange, prompt_tokens: int) -> None:
    """Take a request out of its key's budget, and tell the client how that stands.

    Raises:
        ApiError: 429, the budget is spent.
    """
    if context.rate_limits is None or exchange.key is None:
        return
    verdict = context.rate_limits.check(exchange.key, prompt_tokens, time.monotonic())
    exchange.headers |= verdict.standing.headers()
    if not isinstance(verdict, Limited):
        return
    if verdict.retry_after_s is None:
        raise ApiError(
            f"The prompt's {prompt_tokens} tokens are more than this key may spend in a minute.",
            status=429,
            code="rate_limit_exceeded",
            # OpenAI's client would try again by itself, in vain.
            headers={"x-should-retry": "false"},
        )
    raise ApiError(
        f"This key has spent its {verdict.which} a minute.",
        status=429,
        code="rate_limit_exceeded",
        retry_after_s=verdict.retry_after_s,
    )


def submit(
    context: GatewayContext,
    model: ServedModel,
    exchange: Exchange,
    sequences: list[tuple[list[int], SamplingParams]],
    *,
    restartable: bool,
    images: tuple[Image, ...] = (),
) -> list[Generation]:
    """Start the sequences, all or none; they all look at the same images.

    Raises:
        ApiError: 429 or 503, with the time after which to come back.
    """
    requests = _requests(exchange, sequences, restartable=restartable, images=images)
    try:
        return model.dispatcher.submit(requests)
    except GenerationFailed as failure:
        raise api_error(context, failure) from None


def check_admission(
    context: GatewayContext,
    model: ServedModel,
    exchange: Exchange,
    sequences: list[tuple[list[int], SamplingParams]],
) -> None:
    """Refuse what `submit` would refuse now, before their images are decoded.

    Raises:
        ApiError: 429 or 503, with the time after which to come back.
    """
    try:
        model.dispatcher.check(_requests(exchange, sequences))
    except GenerationFailed as failure:
        raise api_error(context, failure) from None


def _requests(
    exchange: Exchange,
    sequences: list[tuple[list[int], SamplingParams]],
    *,
    restartable: bool = False,
    images: tuple[Image, ...] = (),
) -> list[SubmitRequest]:
    return [
        SubmitRequest(
            exchange.request_id,
            prompt_ids,
            params,
            restartable,
            images=images,
            worker=exchange.worker,
        )
        for prompt_ids, params in sequences
    ]


def api_error(context: GatewayContext, failure: GenerationFailed) -> ApiError:
    """What a failed or refused generation says to its client."""
    error = ApiError.of(failure)
    if failure.status == 503:
        if error.retry_after_s is None:
            error.retry_after_s = _RETRY_AFTER_S
        if context.health().state == "draining":
            # So that the client's next request finds another server behind the load balancer.
            error.headers["connection"] = "close"
    return error


def check_count(context: GatewayContext, *, prompts: int, choices: int) -> None:
    """Check how many sequences a request wants.

    Raises:
        ApiError: Too many.
    """
    limits = context.limits
    if choices > limits.max_n:
        raise invalid("n", f"n is {choices}; at most {limits.max_n} choices are made.")
    most = max(limits.max_sequences, limits.max_n)
    if prompts * choices > most:
        raise invalid(
            "prompt",
            f"{prompts} prompts with {choices} choices each are {prompts * choices} sequences; "
            f"at most {most} are generated for one request.",
        )


def engine_name(info: EngineInfo | None) -> str:
    """The engine's name and version; empty while it loads."""
    return "" if info is None else info.engine
