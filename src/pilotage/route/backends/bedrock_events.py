"""Converse's answers as chunks: events of a stream, or the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import BackendError, Fault

_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
    }
)
"""Converse's stop reasons in OpenAI's words; one that it may get later is a "stop"."""
_MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})


class ConverseReading:
    """Reads one answer.

    Args:
        images: In the prompt.
        cache_within: See `pilotage.route.backends.bedrock_families.Family`; for streams only.
    """

    def __init__(self, *, images: int, cache_within: bool) -> None:
        self.begun = False
        self._images = images
        self._cache_within = cache_within
        self._calls: dict[Any, int] = {}
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._model: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the answer is whole; its usage may be missing yet."""
        return self._reason is not None

    def event(self, event: Mapping[str, Any]) -> Chunk | None:
        """The chunk of one event of the stream, if it has any."""
        if (delta := event.get("contentBlockDelta")) is not None:
            return self._noted(self._delta(delta))
        if (start := event.get("contentBlockStart")) is not None:
            return self._noted(self._start(start))
        if (stop := event.get("messageStop")) is not None:
            self._reason = str(stop.get("stopReason"))
        elif (told := event.get("metadata")) is not None:
            self._account(told, within=self._cache_within)
        return None

    def whole(self, response: Mapping[str, Any]) -> Iterator[Chunk]:
        """The chunks of an answer that came at once; then comes `end`."""
        message = (response.get("output") or {}).get("message") or {}
        for index, block in enumerate(message.get("content") or ()):
            if chunk := self._noted(self._block(index, block)):
                yield chunk
        if (reason := response.get("stopReason")) is not None:
            self._reason = str(reason)
        self._account(response, within=False)

    def end(self) -> Chunk:
        """The last chunk: the finish reason, which comes before the usage, and the usage.

        Raises:
            BackendError: There was no end, or the model's output was no answer.
        """
        if self._reason is None:
            raise BackendError(Fault.CUT, "the answer ended without a reason", usage=self._usage)
        if self._reason in _MALFORMED:
            raise BackendError(
                Fault.CUT if self.begun else Fault.FAILED,
                f"the model's output was no answer ({self._reason})",
                usage=self._usage,
            )
        reason = _REASONS.get(self._reason, "stop")
        return Chunk(finish_reason=reason, usage=self._usage, model=self._model)

    def _noted(self, chunk: Chunk | None) -> Chunk | None:
        self.begun = self.begun or chunk is not None
        return chunk

    def _delta(self, event: Mapping[str, Any]) -> Chunk | None:
        delta = event.get("delta") or {}
        if text := delta.get("text"):
            return Chunk(text=text)
        # Signatures of the reasoning and its redacted parts have no place in OpenAI's form.
        if reasoning := (delta.get("reasoningContent") or {}).get("text"):
            return Chunk(reasoning=reasoning)
        index = self._calls.get(event.get("contentBlockIndex"))
        arguments = (delta.get("toolUse") or {}).get("input")
        if arguments and index is not None:
            return Chunk(tool_calls=({"index": index, "function": {"arguments": arguments}},))
        return None

    def _start(self, event: Mapping[str, Any]) -> Chunk | None:
        tool = (event.get("start") or {}).get("toolUse")
        return self._call(event.get("contentBlockIndex"), tool, "") if tool else None

    def _block(self, index: int, block: Mapping[str, Any]) -> Chunk | None:
        if text := block.get("text"):
            return Chunk(text=text)
        reasoning = (block.get("reasoningContent") or {}).get("reasoningText") or {}
        if reasoning.get("text"):
            return Chunk(reasoning=reasoning["text"])
        if tool := block.get("toolUse"):
            return self._call(index, tool, json.dumps(tool.get("input") or {}))
        return None

    def _call(self, block: Any, tool: Mapping[str, Any], arguments: str) -> Chunk:
        # OpenAI counts the calls, Converse all blocks.
        index = self._calls.setdefault(block, len(self._calls))
        call = {
            "index": index,
            "id": tool.get("toolUseId"),
            "type": "function",
            "function": {"name": tool.get("name"), "arguments": arguments},
        }
        return Chunk(tool_calls=(call,))

    def _account(self, told: Mapping[str, Any], *, within: bool) -> None:
        usage = told.get("usage")
        if usage:
            read, written = _count(usage, "cacheReadInputTokens"), _count(
                usage, "cacheWriteInputTokens"
            )  # fmt: skip
            prompt = _count(usage, "inputTokens")
            if not (within and prompt >= read + written):
                # "inputTokens" are those that no cache held: the user guide, "Prompt caching".
                prompt += read + written
            self._usage = Usage(
                prompt_tokens=prompt,
                completion_tokens=_count(usage, "outputTokens"),
                cache_read_tokens=read,
                cache_write_tokens=written,
                images=self._images,
            )
        router = (told.get("trace") or {}).get("promptRouter") or {}
        self._model = router.get("invokedModelId") or self._model


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
