"""A chat request from outside, checked as far as the function itself needs it.

What only the model's backend can judge (temperatures, tools, schemas) is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pilotage.route.handler.config import HistoryPolicy
from pilotage.route.handler.event import EventKind, Request
from pilotage.route.handler.history import Message, trimmed
from pilotage.route.handler.refusal import Refusal
from pilotage.spec.routing import RoutingSpec

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_UNSUPPORTED: Final = {
    "logprobs": "log-probabilities are not in its answers",
    "top_logprobs": "log-probabilities are not in its answers",
    "functions": 'use "tools"',
    "function_call": 'use "tool_choice"',
    "audio": "its answers are text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A checked request.

    Attributes:
        model: The routed name, or a tier's.
        body: For `Call.body`.
        stream: Whether the answer is wanted as server-sent events.
        include_usage: Whether the last event holds the usage.
        dropped: Messages of the conversation that were left out, oldest first.
    """

    model: str
    body: Mapping[str, Any]
    stream: bool
    include_usage: bool
    dropped: int


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request's body is.

    Raises:
        Refusal: It is not one, or says that it is something else.
    """
    content_type = request.headers.get("content-type", "application/json")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(
            "The body should be application/json.", status=415, code="unsupported_media_type"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal("Compressed bodies are not taken.", status=415, code="unsupported_media_type")
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):  # DecodeError is a ValueError; so is wrong UTF-8
        raise Refusal("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal("The body should be a JSON object.", code="invalid_json")
    return body


def read_chat(request: Request, routing: RoutingSpec, history: HistoryPolicy) -> ChatRequest:
    """The chat request in a request.

    Raises:
        Refusal: It is wrong.
    """
    fields = read_object(request)
    if request.kind is EventKind.DIRECT:
        fields = _with_messages(fields)
    for name, why in _UNSUPPORTED.items():
        if fields.get(name) not in (None, False):
            raise Refusal(
                f"This endpoint has no '{name}': {why}.", code="unsupported_parameter", param=name
            )
    if fields.pop("n", 1) not in (1, None):
        raise Refusal("One answer at a time: n should be 1.", code="invalid_value", param="n")
    stream = _flag(fields.pop("stream", None), "stream")
    if stream and request.kind is EventKind.DIRECT:
        raise Refusal(
            "A direct invocation has one answer: leave stream out.",
            code="unsupported_parameter",
            param="stream",
        )
    options = fields.pop("stream_options", None)
    include_usage = isinstance(options, dict) and options.get("include_usage") is True
    _check_limits(fields)
    messages = _messages(fields.get("messages"))
    kept = _bounded(messages, routing.max_history, history)
    return ChatRequest(
        model=_model(fields.pop("model", None), routing),
        body={**fields, "messages": kept},
        stream=stream,
        include_usage=include_usage,
        dropped=len(messages) - len(kept),
    )


def _with_messages(fields: dict[str, Any]) -> dict[str, Any]:
    if "prompt" not in fields:
        return fields
    if "messages" in fields:
        raise Refusal("Give prompt or messages, not both.", param="prompt")
    prompt, system = fields.pop("prompt"), fields.pop("system", None)
    if not isinstance(prompt, str) or not prompt:
        raise Refusal("prompt should be a text.", param="prompt")
    if system is not None and not isinstance(system, str):
        raise Refusal("system should be a text.", param="system")
    messages = [{"role": "user", "content": prompt}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {**fields, "messages": messages}


def _flag(value: Any, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise Refusal(f"{name} should be true or false.", param=name)
    return bool(value)


def _check_limits(fields: Mapping[str, Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        value = fields.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise Refusal(f"{name} should be a whole number from 1.", param=name)


def _model(value: Any, routing: RoutingSpec) -> str:
    if value is None:
        return routing.model
    known = (routing.model, *routing.tier_names)
    if value not in known:
        raise Refusal(
            f"There is no such model; there are {', '.join(known)}.",
            status=404,
            code="model_not_found",
            param="model",
        )
    return str(value)


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise Refusal("messages should be a list of one message or more.", param="messages")
    for index, message in enumerate(value):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise Refusal(f"{where} should be an object.", param=where)
        if not isinstance(message.get("role"), str) or message["role"] not in _ROLES:
            raise Refusal(
                f"{where}.role should be one of {', '.join(sorted(_ROLES))}.",
                param=f"{where}.role",
            )
        _check_content(message, f"{where}.content")
    return value


def _check_content(message: Message, where: str) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    if content is None and message["role"] == "assistant" and message.get("tool_calls"):
        return
    parts = content if isinstance(content, list) else []
    known = all(_is_part(part) for part in parts)
    if not parts or not known:
        raise Refusal(
            f"{where} should be a text, or a list of parts of type text or image_url.",
            param=where,
        )


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    return part.get("type") == "image_url" and isinstance(part.get("image_url"), dict)


def _bounded(messages: list[Message], most: int, history: HistoryPolicy) -> list[Message]:
    if len(messages) <= most:
        return messages
    kept = trimmed(messages, most) if history == "trim" else None
    if kept is None:
        raise Refusal(
            f"The conversation has {len(messages)} messages; at most {most} are taken. Leave out "
            "its oldest turns.",
            code="history_too_long",
            param="messages",
        )
    return kept
