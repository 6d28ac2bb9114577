"""A whole answer as the stream that was asked for, from a server that knows none."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import NOT_JSON


class _Choice(msgspec.Struct):
    index: int = 0
    message: dict[str, Any] | None = None
    logprobs: Any = None
    finish_reason: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    id: Any = ""
    created: Any = 0
    model: Any = ""
    usage: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def whole_as_events(body: bytes, *, hide_usage: bool) -> bytes:
    """The events of a stream that says what a whole answer says.

    Args:
        body: A ``chat.completion``.
        hide_usage: Whether the client did not ask a stream for its usage.

    Raises:
        BackendError: It is no such answer.
    """
    try:
        answer = _decode(body)
    except NOT_JSON:
        raise BackendError(
            Fault.GARBAGE, "the backend's answer is not of OpenAI's chat API"
        ) from None
    head = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }
    events: list[dict[str, Any]] = [
        {**head, "choices": [_chunk_choice(choice) for choice in answer.choices]}
    ]
    if answer.usage is not None and not hide_usage:
        events.append({**head, "choices": [], "usage": answer.usage})
    lines = [b"data: %s\n\n" % msgspec.json.encode(event) for event in events]
    return b"".join((*lines, b"data: [DONE]\n\n"))


def _chunk_choice(choice: _Choice) -> dict[str, Any]:
    delta = dict(choice.message or {})
    calls = delta.get("tool_calls")
    if isinstance(calls, list):  # a stream numbers them
        delta["tool_calls"] = [
            {"index": index, **call} if isinstance(call, dict) else call
            for index, call in enumerate(calls)
        ]
    return {
        "index": choice.index,
        "delta": delta,
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason,
    }
