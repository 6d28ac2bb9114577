"""A routed answer as OpenAI's API writes it: whole, or as the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pilotage.route.answer import Answer, Usage


def usage_form(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def completion(
    answer: Answer, *, request_id: str, model: str, pilotage: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer as a ``chat.completion``.

    Args:
        answer: The whole answer.
        request_id: Goes into its id.
        model: Its name, where the answer does not say.
        pilotage: What this router adds, under that name.
    """
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = _whole_calls(answer.tool_calls)
    elif answer.text == "":
        message["content"] = ""
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model or model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": answer.finish_reason or "stop",
            }
        ],
        "usage": usage_form(answer.usage or Usage(estimated=True)),
        "pilotage": dict(pilotage),
    }


def as_events(whole: Mapping[str, Any], *, include_usage: bool) -> str:
    """A ``chat.completion`` as the server-sent events of a stream, all of them at once.

    Args:
        whole: From `completion`.
        include_usage: Whether a last event holds the usage, which also has ``pilotage``.
    """
    choice = whole["choices"][0]
    delta = {name: value for name, value in choice["message"].items() if value is not None}
    if "tool_calls" in delta:
        delta["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(delta["tool_calls"])
        ]
    events: list[dict[str, Any]] = [
        _event(whole, [{"index": 0, "delta": delta, "finish_reason": None}]),
        _event(whole, [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]),
    ]
    if include_usage:
        last = _event(whole, [])
        events.append({**last, "usage": whole["usage"], "pilotage": whole["pilotage"]})
    lines = [f"data: {msgspec.json.encode(event).decode()}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"])


def _event(whole: Mapping[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": whole["id"],
        "object": "chat.completion.chunk",
        "created": whole["created"],
        "model": whole["model"],
        "choices": choices,
    }


def _whole_calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # "index" belongs to the pieces of a stream.
    return [{name: value for name, value in call.items() if name != "index"} for call in calls]
