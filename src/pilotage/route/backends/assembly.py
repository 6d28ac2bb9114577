"""An answer put together from its chunks."""

from __future__ import annotations

from typing import Any

from pilotage.route.answer import Answer, Chunk, Usage
from pilotage.route.backends.usage import estimated_tokens


class Assembly:
    """Takes chunks and gives the answer so far.

    Attributes:
        usage: What the provider told.
        finish_reason: What it ended with.
        model: What it called itself.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[float] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._arguments_size = 0

    def add(self, chunk: Chunk) -> None:
        """Take a chunk."""
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        self._logprobs += chunk.logprobs
        for call in chunk.tool_calls:
            self._add_tool_call(dict(call))
        self.usage = chunk.usage or self.usage
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.model = chunk.model or self.model

    def answer(self) -> Answer:
        """What has come so far."""
        return Answer(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(self._tool_calls.values()),
            logprobs=tuple(self._logprobs),
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self.model,
        )

    @property
    def finished(self) -> bool:
        """Whether it is whole."""
        return self.finish_reason is not None

    @property
    def tokens(self) -> int:
        """About how many tokens have come."""
        size = sum(len(text.encode("utf-8", "replace")) for text in self._text + self._reasoning)
        return estimated_tokens(size + self._arguments_size)

    def _add_tool_call(self, delta: dict[str, Any]) -> None:
        """OpenAI's deltas: the first of an index has id and name, the others more arguments."""
        index = delta.pop("index", None)
        index = index if isinstance(index, int) else len(self._tool_calls)
        function = delta.pop("function", None)
        function = dict(function) if isinstance(function, dict) else {}
        arguments = function.pop("arguments", None)
        arguments = arguments if isinstance(arguments, str) else ""
        self._arguments_size += len(arguments.encode("utf-8", "replace"))
        call = self._tool_calls.setdefault(index, {"type": "function", "function": {}})
        call.update({name: value for name, value in delta.items() if value is not None})
        known = call["function"]
        known.update({name: value for name, value in function.items() if value is not None})
        known["arguments"] = known.get("arguments", "") + arguments
