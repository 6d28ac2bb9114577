"""A routed answer in OpenAI's form: whole, or as the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pilotage.route.answer import Answer, Chunk, Usage
from pilotage.serve.api.answer_format import DONE, around, encode, event, new_id
from pilotage.serve.routing.headers import money_text

_CHUNK: Final = "chat.completion.chunk"
_TEXT: Final = "\0text\0"


class RoutedFormat:
    """Writes one answer.

    Args:
        model: The served model, as it calls itself.
        with_usage: Whether a stream ends with the token counts and the cost.
    """

    def __init__(self, model: str, *, with_usage: bool) -> None:
        self._model = model
        self._with_usage = with_usage
        self._id = new_id("chatcmpl")
        self._created = int(time.time())
        self._around: tuple[bytes, bytes] | None = None

    def opening(self) -> bytes:
        """The event that begins a stream: who speaks."""
        return event(self._chunk({"role": "assistant", "content": ""}))

    def chunk(self, chunk: Chunk) -> bytes:
        """The events for a piece of the answer; none if it has nothing to show."""
        if chunk.text and not chunk.reasoning and not chunk.tool_calls:
            if self._around is None:
                self._around = around(self._chunk({"content": _TEXT}), _TEXT)
            before, after = self._around
            return before + encode(chunk.text) + after
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = list(chunk.tool_calls)
        return event(self._chunk(delta)) if delta else b""

    def ending(self, finish_reason: str, usage: Usage, cost: Decimal) -> bytes:
        """The events that end a stream."""
        events = event(self._chunk({}, finish_reason=finish_reason))
        if self._with_usage:
            counts = usage_json(usage) | {"cost_usd": money_text(cost)}
            events += event(self._head(_CHUNK) | {"choices": [], "usage": counts})
        return events + DONE

    def whole(self, answer: Answer, usage: Usage) -> bytes:
        """The answer in one."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text if answer.text or not answer.tool_calls else None,
        }
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = [_without_index(call) for call in answer.tool_calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": answer.finish_reason or "stop",
        }
        return encode(
            self._head("chat.completion") | {"choices": [choice], "usage": usage_json(usage)}
        )

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._with_usage else {}
        return self._head(_CHUNK) | {"choices": [choice]} | usage


def usage_json(usage: Usage) -> dict[str, Any]:
    """OpenAI's ``usage`` object."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cache_read_tokens:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens}
    return counts


def _without_index(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "index"}
