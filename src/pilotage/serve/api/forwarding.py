"""Requests for an engine that is a server of its own: checked lightly, and passed on.

What the engine understands is its own business: fields that it has are passed through. What is
checked here is what concerns this server: the model's name, the number of choices, addresses that
the engine would fetch for the client, and fields that reach into the engine itself.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pilotage.engines.engine import SamplingParams
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError, invalid, unsupported
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.forwarded_response import ForwardedResponse
from pilotage.serve.api.lifted_body import lifted_images
from pilotage.serve.api.submission import charge_prompt, check_count
from pilotage.serve.api.tasks import check_task
from pilotage.serve.images import Upload
from pilotage.serve.telemetry.request_record import Operation

REACHING_INSIDE: Final = frozenset(
    {
        "chat_template",  # a program for the engine to run
        "kv_transfer_params",
        "logits_processors",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "priority",
        "prompt_embeds",
        "request_id",
        "vllm_xargs",
        # llama-server's
        "id_slot",
        "lora",
        "t_max_predict_ms",
    }
)
"""Fields by which a client would reach past the API into the engine, refused by name."""

_LENGTHS: Final = ("max_tokens", "max_completion_tokens", "n_predict")
_OPERATIONS: Final[dict[str, Operation]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_MAX_PARTS: Final = 65_536


def forwarded_model(context: GatewayContext, body: dict[str, Any]) -> ServedModel | None:
    """The model that a body is for, if its engine is a server of its own.

    An alias is resolved here, once: its weights may give another model the next time. A LoRA
    adapter is a name of the model it belongs to.
    """
    name = body.get("model")
    if name is not None and not isinstance(name, str):
        return None  # what reads the body next says so
    for served in context.models.all():
        if name is not None and served.backend is not None and name in served.backend.names():
            return served
    model = context.models.find(name)
    if model is None:
        return None
    if name is not None:
        body["model"] = model.name
    return model if model.backend is not None else None


def forward(
    context: GatewayContext,
    request: Request,
    model: ServedModel,
    path: str,
    body: dict[str, Any],
) -> Response:
    """The response to a request that the engine of `model` answers.

    Args:
        context: The gateway's.
        request: As it came.
        model: Whose engine it goes to.
        path: The engine's route.
        body: The decoded body.

    Raises:
        ApiError: It is not passed on.
    """
    backend = model.backend
    assert backend is not None
    exchange = Exchange.of(request.scope)
    exchange.model = model.name
    exchange.operation = operation = _OPERATIONS[path]
    check_task(model, "embed" if operation == "embeddings" else "generate")
    size = check_passed_on(body)
    choices = body.get("n")
    if choices is None:
        choices = 1
    if type(choices) is not int or choices < 1:
        raise invalid("n", "'n' must be a whole number from 1.")
    check_count(context, prompts=size.prompts, choices=choices)
    if body.get("model") not in backend.names():
        body["model"] = backend.name
    put_images_back(request, body)
    tokens = backend.estimate(size.bytes, size.ids)
    stream = body.get("stream") is True
    exchange.span = context.tracer.start(
        operation,
        model.name,
        headers=request.headers,
        params=_params(body),
        request_id=exchange.request_id,
        choices=choices,
        stream=stream,
    )
    charge_prompt(context, exchange, round(tokens))
    exchange.prompt_tokens = round(tokens)
    return ForwardedResponse(
        context,
        exchange,
        backend,
        path,
        msgspec.json.encode(body),
        stream=stream,
        prompt_tokens=tokens,
        prompt_bytes=0 if size.ids else size.bytes,
        sequences=size.prompts * choices,
    )


def check_passed_on(body: dict[str, Any]) -> PromptSize:
    """Check what an engine or provider is not to be told, whatever it understands.

    Returns:
        How much there is to read.

    Raises:
        ApiError: A field reaches past the API, a length is none, or a part names an address.
    """
    for name in REACHING_INSIDE.intersection(body):
        if body[name] is not None:
            raise unsupported(name, f"'{name}' is not passed on to the engine.")
    for name in _LENGTHS:
        length = body.get(name)
        if length is not None and (type(length) is not int or length < 1):
            raise invalid(name, f"'{name}' must be a whole number from 1.")
    return _prompt_size(body)


@dataclass(slots=True)
class PromptSize:
    """How much there is to read in a body."""

    bytes: int = 0
    ids: int = 0
    prompts: int = 1


def _prompt_size(body: dict[str, Any]) -> PromptSize:
    """Count the text of a body, and refuse what the engine would fetch.

    Raises:
        ApiError: A part names an address.
    """
    size = PromptSize()
    prompt = body.get("prompt", body.get("input"))
    if isinstance(prompt, str):
        size.bytes += len(prompt.encode())
    elif isinstance(prompt, list):
        several = any(not isinstance(one, int) for one in prompt)
        size.prompts = max(1, len(prompt)) if several else 1
        for one in prompt:
            if isinstance(one, str):
                size.bytes += len(one.encode())
            else:
                size.ids += len(one) if isinstance(one, list) else 1
    messages = body.get("messages")
    if isinstance(messages, list):
        for index, message in enumerate(messages):
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str):
                size.bytes += len(content.encode())
            elif isinstance(content, list):
                _count_parts(content, size, f"messages[{index}].content")
    return size


def _count_parts(parts: list[Any], size: PromptSize, place: str) -> None:
    if len(parts) > _MAX_PARTS:
        raise invalid(place, f"There are more than {_MAX_PARTS} parts in a message.")
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            continue
        for name, value in part.items():
            if name == "text" and isinstance(value, str):
                size.bytes += len(value.encode())
            elif name.endswith("_url") or name == "url":
                _check_address(value, f"{place}[{index}].{name}")


def _check_address(value: Any, place: str) -> None:
    """Let nothing but data through: the engine would fetch an address from inside this network."""
    address = value.get("url") if isinstance(value, dict) else value
    if address is None or (isinstance(address, str) and _is_data(address)):
        return
    raise ApiError(
        f"'{place}' is not a data: URL; the engine fetches nothing for its clients.",
        code="invalid_value",
        param=place,
    )


def _is_data(address: str) -> bool:
    return address.startswith(("data:", "pilotage-image:"))


def put_images_back(request: Request, body: dict[str, Any]) -> None:
    """Long images were lifted out of the body while it arrived; the engine wants them in it."""
    lifted = lifted_images(request)
    if not lifted:
        return
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            for name, value in part.items() if isinstance(part, dict) else ():
                address = value.get("url") if isinstance(value, dict) else value
                upload = lifted.get(address) if isinstance(address, str) else None
                if upload is None:
                    continue
                inlined = f"data:image;base64,{base64.b64encode(_content(upload)).decode()}"
                part[name] = {**value, "url": inlined} if isinstance(value, dict) else inlined


def _content(upload: Upload) -> bytes:
    source = upload.source()
    if isinstance(source, bytes):
        return source
    with os.fdopen(source, "rb") as file:
        file.seek(0)
        return file.read()


def _params(body: dict[str, Any]) -> SamplingParams:
    """What the span of a request says of its sampling."""

    def number(name: str, default: float) -> float:
        value = body.get(name)
        return float(value) if isinstance(value, int | float) else default

    length = next((body[name] for name in _LENGTHS if body.get(name) is not None), 0)
    return SamplingParams(
        max_tokens=length, temperature=number("temperature", 1.0), top_p=number("top_p", 1.0)
    )
