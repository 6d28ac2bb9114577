"""A stream's bytes on their way to the client, looked at but not parsed."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final

import msgspec

from pilotage.route.answer import Usage
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import NOT_JSON
from pilotage.route.backends.refusal import error_event
from pilotage.route.backends.sse import MAX_EVENT, EventReader
from pilotage.route.backends.usage import estimated_tokens, usage_of

# In JSON a quotation mark inside a string is escaped, so these are fields and never text.
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_ERROR: Final = re.compile(rb'(?:\A|\n)data:\s*\{\s*"error"\s*:\s*[^n\s]')
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"')
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,256})"')
_ENDS: Final = (b"\n\n", b"\n\r\n")
_DONE: Final = re.compile(rb"(?:\A|\n)data: ?\[DONE\]")
_LAST: Final = 4
"""Pieces in which the finish reason is looked for: behind it come usage and ``[DONE]`` only."""


class _Known(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None
    model: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


_choice = msgspec.json.Decoder(_Choice).decode
_known = msgspec.json.Decoder(_Known).decode


class RawEvents:
    """Passes on whole events, and keeps what the ledger has to know.

    What has no end of an event yet is held until it has: a client could not use it, and events
    that are to be hidden are seen whole. Only events with usage in them are parsed, one a stream.

    Args:
        hide_usage: Whether the client did not ask for usage. Then the event without choices that
            tells it is left out, which clients that take the first choice of each event trip
            over.

    Attributes:
        usage: What the server says it used, if that can be true.
        model: What it says it is.
        done: ``[DONE]`` came.
        error: The stream said that it failed; the event that says so, and what is behind it, are
            not passed on.
    """

    __slots__ = (
        "_began",
        "_count",
        "_held",
        "_hide_usage",
        "_last",
        "done",
        "error",
        "model",
        "usage",
    )

    def __init__(self, *, hide_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.done = False
        self.error: BackendError | None = None
        self._last: deque[bytes] = deque(maxlen=_LAST)
        self._hide_usage = hide_usage
        self._held = b""
        self._began = False
        self._count = 0

    @property
    def finished(self) -> bool:
        """Whether ``[DONE]`` came, or a finish reason did lately."""
        return self.done or any(_FINISH.search(data) is not None for data in self._last)

    @property
    def tokens(self) -> int:
        """About how many tokens came: events, less the ones that only begin and end it."""
        return max(0, self._count - 2)

    def feed(self, data: bytes) -> bytes:
        """Take bytes; those that can be passed on, perhaps none.

        Raises:
            BackendError: An event is too long, or is none.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        if not data.endswith(b"\n\n"):
            end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
            if end < 3:
                end = 0
            self._held = data[end:]
            data = data[:end]
            if len(self._held) > MAX_EVENT:
                raise BackendError(Fault.GARBAGE, "an event of the stream is too long")
        return self._look(data) if data else b""

    def end(self) -> bytes:
        """What is left at the stream's end: a last event without its blank line, if it is whole."""
        data, self._held = self._held, b""
        return self._look(data) if data.endswith(b"\n") else b""

    def _look(self, data: bytes) -> bytes:
        if not self._began:
            self._begin(data)
        self._count += data.count(b"\ndata:") + data.startswith(b"data:")
        # `in` is many times faster than a pattern, and nearly always says no.
        if b'"error"' in data:
            data = self._take_error(data)
        if b'"usage"' in data:
            data = self._take_usage(data)
        self._last.append(data)
        self.done = self.done or (b"[DONE]" in data and _DONE.search(data) is not None)
        return data

    def _begin(self, data: bytes) -> None:
        self._began = True
        found = _MODEL.search(data)
        if found is not None:
            self.model = found[1].decode("utf-8", "replace")

    def _take_error(self, data: bytes) -> bytes:
        """Note the error; what stands before it."""
        found = _ERROR.search(data)
        if found is None:
            return data
        events = EventReader().feed(data[found.start() :].lstrip() + b"\n\n")
        self.error = error_event(_parsed(events[0]).error)
        return data[: found.start() + 1] if found.start() else b""

    def _take_usage(self, data: bytes) -> bytes:
        """Note the usage; ``data`` without the events that only tell it, if they are hidden."""
        passed = 0
        kept: list[bytes] = []
        for found in _USAGE.finditer(data):
            if found.start() < passed:
                continue
            before = [
                at + len(end)
                for end in _ENDS
                if (at := data.rfind(end, passed, found.start())) >= 0
            ]
            behind = [at + len(end) for end in _ENDS if (at := data.find(end, found.end())) >= 0]
            begin, after = max(before, default=passed), min(behind, default=len(data))
            events = EventReader().feed(data[begin:after] + b"\n\n")
            if not events:
                continue  # it stood in a comment
            known = _parsed(events[0])
            self.usage = usage_of(known.usage)
            if self._hide_usage and not known.choices:
                kept.append(data[passed:begin])
                passed = after
        return b"".join((*kept, data[passed:])) if kept else data


class RawWhole:
    """A whole answer's bytes: what the ledger has to know of them.

    Attributes:
        usage: What the server says it used, if that can be true.
        model: What it says it is.
    """

    __slots__ = ("_choices", "model", "usage")

    def __init__(self, body: bytes) -> None:
        """Look at ``body``.

        Raises:
            BackendError: It is no answer of the protocol, or is an error.
        """
        known = _parsed(body)
        if known.error is not None:
            raise error_event(known.error)
        if known.choices is None:
            raise BackendError(Fault.GARBAGE, "the backend's answer has no choices")
        self.usage = usage_of(known.usage)
        self.model = known.model
        self._choices = known.choices

    @property
    def tokens(self) -> int:
        """About how many tokens it is: what its choices say, or their bytes if that is unclear."""
        return estimated_tokens(sum(_size_said(choice) for choice in self._choices))


def _size_said(choice: msgspec.Raw) -> int:
    try:
        message = _choice(choice).message
    except NOT_JSON:
        message = None
    if message is None:
        return len(choice)
    texts = (message.content, message.reasoning_content, message.reasoning, message.refusal)
    called = len(msgspec.json.encode(message.tool_calls)) if message.tool_calls else 0
    return called + sum(len(text.encode()) for text in texts if text)


def _parsed(data: bytes) -> _Known:
    try:
        return _known(data)
    except NOT_JSON:
        raise BackendError(
            Fault.GARBAGE, "the backend's answer is not of OpenAI's chat API"
        ) from None
