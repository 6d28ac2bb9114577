"""A request's fields into sampling parameters."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.engines.engine import EngineInfo, SamplingParams
from pilotage.serve.api.chat_request import ChatRequest
from pilotage.serve.api.completion_request import DEFAULT_MAX_TOKENS, CompletionRequest
from pilotage.serve.api.errors import ApiError, invalid, unsupported
from pilotage.serve.api.fields import GenerationFields, JsonObjectFormat, SchemaFormat
from pilotage.serve.api.json_schema import engine_schema

# Dividing logits by less overflows; what is left by then is the most likely token anyhow.
_LEAST_TEMPERATURE = 0.01
_ANY_OBJECT = '{"type":"object","additionalProperties":true}'
_FIELD_OF = {"json_schema": "response_format"}


def sampling_params(
    request: ChatRequest | CompletionRequest,
    *,
    prompt_tokens: int,
    context_length: int,
    eos_token_ids: tuple[int, ...],
) -> SamplingParams:
    """How to continue one prompt of a request.

    Args:
        request: The request; its own fields are in range, their combination may not be.
        prompt_tokens: Length of the prompt.
        context_length: Longest prompt plus completion of the model, tokens.
        eos_token_ids: The tokens that end an answer of the model.

    Raises:
        ApiError: The prompt leaves no room, or the fields contradict each other.
    """
    max_tokens = _max_tokens(request, prompt_tokens, context_length)
    min_tokens = request.min_tokens or 0
    if min_tokens > max_tokens:
        raise invalid(
            "min_tokens", f"min_tokens is {min_tokens}, more than the {max_tokens} of max_tokens."
        )
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options", "'stream_options' is for requests with stream: true.")
    stop_token_ids = tuple(request.stop_token_ids or ())
    if request.ignore_eos and stop_token_ids:
        raise invalid(
            "stop_token_ids", "stop_token_ids and ignore_eos: true contradict each other."
        )
    temperature = _or(request.temperature, 1.0)
    params = SamplingParams(
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        temperature=0.0 if temperature < _LEAST_TEMPERATURE else temperature,
        top_p=_or(request.top_p, 1.0),
        top_k=max(0, request.top_k or 0),
        min_p=_or(request.min_p, 0.0),
        seed=request.seed,
        presence_penalty=_or(request.presence_penalty, 0.0),
        frequency_penalty=_or(request.frequency_penalty, 0.0),
        repetition_penalty=_or(request.repetition_penalty, 1.0),
        stop_token_ids=tuple(dict.fromkeys((*eos_token_ids, *stop_token_ids))),
        ignore_eos=bool(request.ignore_eos),
        logprobs=_wants_logprobs(request),
        json_schema=_json_schema(request),
    )
    _check_top_logprobs(request, params)
    return params


def of_choice(params: SamplingParams, index: int) -> SamplingParams:
    """The parameters of the choice at `index`: one seed would make all choices the same."""
    if params.seed is None or index == 0:
        return params
    return msgspec.structs.replace(params, seed=(params.seed + index) % 2**63)


def check_engine_has(params: SamplingParams, info: EngineInfo) -> None:
    """Refuse what this engine cannot do.

    Raises:
        ApiError: A parameter is set that is among `EngineInfo.unsupported`.
    """
    neutral = SamplingParams(max_tokens=params.max_tokens)
    for name in info.unsupported:
        if getattr(params, name, None) != getattr(neutral, name, None):
            field = _FIELD_OF.get(name, name)
            raise unsupported(
                field, f"The parameter '{field}' is not supported by the engine {info.engine}."
            )


def _max_tokens(
    request: ChatRequest | CompletionRequest, prompt_tokens: int, context_length: int
) -> int:
    asked = request.max_tokens
    field = "max_tokens"
    if isinstance(request, ChatRequest):
        newer = request.max_completion_tokens
        if newer is not None and asked is not None and newer != asked:
            raise invalid(
                "max_tokens", "max_tokens and max_completion_tokens are both given and differ."
            )
        if newer is not None:
            asked, field = newer, "max_completion_tokens"
    elif asked is None:
        asked = DEFAULT_MAX_TOKENS
    room = context_length - prompt_tokens
    if room < 1 or (asked or 0) > room:
        completion = max(1, asked or 1)
        raise ApiError(
            f"This model's maximum context length is {context_length} tokens. However, you "
            f"requested {prompt_tokens + completion} tokens ({prompt_tokens} in the prompt, "
            f"{completion} in the completion). Shorten the prompt or the completion.",
            code="context_length_exceeded",
            # Where the completion alone is too long, the prompt is not to blame.
            param=field
            if completion >= context_length
            else "messages"
            if isinstance(request, ChatRequest)
            else "prompt",
        )
    return room if asked is None else asked


def _wants_logprobs(request: ChatRequest | CompletionRequest) -> bool:
    if isinstance(request, CompletionRequest):
        return request.logprobs is not None
    if request.top_logprobs and not request.logprobs:
        raise invalid("top_logprobs", "'top_logprobs' is for requests with logprobs: true.")
    return bool(request.logprobs)


def _check_top_logprobs(request: ChatRequest | CompletionRequest, params: SamplingParams) -> None:
    is_chat = isinstance(request, ChatRequest)
    field = "top_logprobs" if is_chat else "logprobs"
    if not (request.top_logprobs if isinstance(request, ChatRequest) else request.logprobs):
        return
    plain = (
        params.temperature == 0
        and params.presence_penalty == params.frequency_penalty == 0
        and params.repetition_penalty == 1
        and params.json_schema is None
        and params.min_tokens == 0
        and not params.ignore_eos
    )
    if not plain:
        raise unsupported(
            field,
            f"{field} of 1 is not supported here. The engine knows the log-probability of the "
            "chosen token only, which is the top one with temperature 0 and without penalties, "
            "min_tokens, ignore_eos and response_format.",
        )


def _json_schema(request: GenerationFields) -> str | None:
    wanted = request.response_format
    if isinstance(wanted, JsonObjectFormat):
        return _ANY_OBJECT
    if isinstance(wanted, SchemaFormat):
        where = "response_format.json_schema.schema"
        return engine_schema(wanted.json_schema.schema_, where)
    return None


def _or(value: Any, default: float) -> float:
    return default if value is None else float(value)
