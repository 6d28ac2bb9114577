"""OpenAI's chat answers, as events of a stream or whole, in the router's words."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.refusal import error_event
from pilotage.route.backends.usage import usage_of
from pilotage.route.call import text_of

DONE: Final = b"[DONE]"


class _Token(msgspec.Struct):
    logprob: float = 0.0


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    model: str | None = None
    object: Any = None
    message: Any = None


_decode = msgspec.json.Decoder(_Event).decode
NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ChatEvents:
    """Turns the events of one answer into chunks.

    What says how it ended (finish reason, usage) is kept for `last`, so that it comes in one
    chunk whatever order the server has. Of several choices the first is taken.

    Attributes:
        done: ``[DONE]`` came.
        finish_reason: What the server gave as one.
        usage: What it says it used, if that can be true.
    """

    __slots__ = ("_began", "_model", "_model_known", "done", "finish_reason", "usage")

    def __init__(self) -> None:
        self.done = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self._model: str | None = None
        self._model_known = False
        self._began = False

    @property
    def finished(self) -> bool:
        """Whether the answer is whole.

        A finish reason says so, and ``[DONE]`` after some of an answer: there are servers that
        never give the first.
        """
        return self.finish_reason is not None or (self.done and self._began)

    def event(self, data: bytes) -> Chunk | None:
        """Take an event (or a whole answer); what it adds, if it adds anything.

        Raises:
            BackendError: GARBAGE, or the error that the event says.
        """
        if data == DONE:
            self.done = True
            return None
        try:
            event = _decode(data)
        except NOT_JSON:
            raise BackendError(
                Fault.GARBAGE, "the backend's answer is not of OpenAI's chat API", usage=self.usage
            ) from None
        if event.usage is not None:
            self.usage = usage_of(event.usage)
        if event.error is not None or event.object == "error":
            error = error_event(event.message if event.error is None else event.error)
            error.usage = self.usage
            raise error
        if event.model and not self._model_known:
            self._model_known = True
            self._model = event.model[:256]
        for choice in event.choices or ():
            if choice.index == 0:
                return self._chunk(choice)
        return None

    def last(self) -> Chunk:
        """The chunk that ends the answer."""
        return Chunk(
            finish_reason=self.finish_reason or "stop", usage=self.usage, model=self._said_model()
        )

    def _chunk(self, choice: _Choice) -> Chunk | None:
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason[:64]
        delta = choice.delta or choice.message
        if delta is None:
            return None
        content = delta.content
        text = content if isinstance(content, str) else text_of(content)
        reasoning = delta.reasoning_content or delta.reasoning or ""
        tokens = choice.logprobs.content if choice.logprobs is not None else None
        if not (text or reasoning or delta.refusal or delta.tool_calls or tokens):
            return None
        self._began = True
        return Chunk(
            text=text or delta.refusal or "",
            reasoning=reasoning,
            tool_calls=tuple(
                {"index": index, **call} for index, call in enumerate(delta.tool_calls or ())
            ),
            logprobs=tuple(token.logprob for token in tokens or ()),
            model=self._said_model(),
        )

    def _said_model(self) -> str | None:
        model, self._model = self._model, None
        return model
