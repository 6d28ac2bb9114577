"""An answer as it arrives: a JSON body or server-sent events, from OpenAI-compatible servers."""

from __future__ import annotations

import email.utils
import math
import re
import time
from array import array
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from pilotage.prove.record import Outcome

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of an answer that are read; a longer one counts as garbage."""

MAX_LINE = 8 * 1024 * 1024
MAX_TEXT = 1024 * 1024
_MAX_ERROR_BODY = 64 * 1024
_MAX_MESSAGE = 300
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_QUEUE = re.compile(rb"queue\s*;[^,]*?dur\s*=\s*\"?([0-9.]+)", re.IGNORECASE)


class _Delta(msgspec.Struct):
    """A piece of a message. Thinking and tool calls are tokens like any others."""

    content: Any = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


# What is no count of tokens makes the answer garbage: a sum with it would be nonsense, and records
# hold 64 bits.
_TokenCount = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class _Usage(msgspec.Struct):
    prompt_tokens: _TokenCount | None = None
    completion_tokens: _TokenCount | None = None


class _Message(msgspec.Struct):
    """A chunk of a stream, or a whole answer."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    text: str | None = None  # of /infer


# A million opening brackets are an answer, too, that somebody may send.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode = msgspec.json.Decoder(_Message).decode


class Answer:
    """What is known of one answer so far.

    Args:
        keep_text: Whether to keep the text.

    Attributes:
        status: HTTP status, None before the header.
        first_at: Clock reading at the first content of a stream.
        last_at: Clock reading at the last.
        gaps: Seconds between pieces of content.
        chunks: Pieces of content.
    """

    __slots__ = (
        "_broken",
        "_coding",
        "_data",
        "_done",
        "_error",
        "_keep_text",
        "_partial",
        "_size",
        "_streamed",
        "_texts",
        "_unbounded",
        "chunks",
        "completion_tokens",
        "finish_reason",
        "first_at",
        "gaps",
        "last_at",
        "prompt_tokens",
        "queue_s",
        "retry_after_s",
        "status",
    )

    def __init__(self, *, keep_text: bool) -> None:
        self.status: int | None = None
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.gaps = array("f")
        self.chunks = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.finish_reason: str | None = None
        self.retry_after_s: float | None = None
        self.queue_s: float | None = None
        self._keep_text = keep_text
        self._streamed = False
        self._coding: bytes | None = None
        self._partial = b""
        self._data: list[bytes] = []
        self._texts: list[str] = []
        self._size = 0
        self._done = False
        self._unbounded = True
        self._error: str | None = None
        self._broken: tuple[Outcome, str] | None = None

    @property
    def text(self) -> str | None:
        """The text, if it was to be kept."""
        return "".join(self._texts) if self._keep_text else None

    @property
    def hopeless(self) -> bool:
        """Whether what arrived is no answer, so that reading on is pointless."""
        return self._broken is not None

    @property
    def until_close(self) -> bool:
        """Whether only the end of the connection can tell that the answer is whole."""
        return self.status is not None and self._unbounded

    def begin(self, status: int) -> None:
        """Take the status line."""
        self.status = status

    def header(self, name: bytes, value: bytes) -> None:
        """Take a header field; ``name`` is in lower case."""
        if name == b"content-type":
            self._streamed = value.lower().startswith(b"text/event-stream")
        elif name in {b"content-length", b"transfer-encoding"}:
            self._unbounded = False
        elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            self._coding = value
        elif name == b"retry-after-ms":
            self.retry_after_s = _seconds(value, scale=1e-3)
        elif name == b"retry-after" and self.retry_after_s is None:
            self.retry_after_s = _seconds(value)
        elif name == b"server-timing" and (match := _QUEUE.search(value)):
            self.queue_s = _seconds(match[1], scale=1e-3)

    def body(self, data: bytes, now: float) -> None:
        """Take a piece of the body that arrived at ``now``."""
        self._size += len(data)
        if self._size > MAX_BYTES:
            self._broken = ("garbage", f"the answer is larger than {MAX_BYTES >> 20} MiB")
        elif self._coding is not None and self.status == 200:
            coding = _shown(self._coding)
            self._broken = ("garbage", f"the answer is compressed ({coding}), which was not asked")
        if self._broken is not None:
            return
        if not self._streamed or self.status != 200:
            if self.status == 200 or self._size <= _MAX_ERROR_BODY:
                self._data.append(data)
            return
        lines = (self._partial + data if self._partial else data).split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > MAX_LINE:
            self._broken = ("garbage", f"a line of the stream is longer than {MAX_LINE >> 20} MiB")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif line in (b"", b"\r") and self._data:
                event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
                self._event(event.strip(), now)

    def _event(self, data: bytes, now: float) -> None:
        if data == b"[DONE]":
            self._done = True
            return
        try:
            message = _decode(data)
        except _NOT_JSON:
            self._broken = ("garbage", f"an event of the stream is not JSON: {_shown(data)}")
            return
        if message.usage is not None:
            self._take_usage(message.usage)
        if message.error is not None:
            self._error = _message_of(message.error)
            return
        for choice in message.choices or ():
            if choice.finish_reason is not None:
                self.finish_reason = choice.finish_reason
            text = _text_of(choice)
            if text is not None:
                self._content(text, now)
        if message.choices is None and message.text:
            self._content(message.text, now)

    def _content(self, text: str, now: float) -> None:
        self.chunks += 1
        if self.last_at is None:
            self.first_at = now
        else:
            self.gaps.append(now - self.last_at)
        self.last_at = now
        if self._keep_text and self._size < MAX_TEXT:
            self._texts.append(text)

    def _take_usage(self, usage: _Usage) -> None:
        self.prompt_tokens = usage.prompt_tokens
        self.completion_tokens = usage.completion_tokens

    def ended(self) -> tuple[Outcome, str | None]:
        """How the answer ended, now that its body is whole, and what went wrong."""
        if self._broken is not None:
            return self._broken
        if self.status is None:
            return "garbage", "no HTTP status"
        if self.status != 200:
            return _outcome_of(self.status), self._refusal(self.status)
        return self._ended_stream() if self._streamed else self._ended_object()

    def _ended_stream(self) -> tuple[Outcome, str | None]:
        if self._error is not None:
            return "error_event", self._error
        if not self._done and self.finish_reason is None:
            return "broken", "the stream ended without [DONE]"
        return "complete", None

    def _ended_object(self) -> tuple[Outcome, str | None]:
        data = b"".join(self._data)
        self._data = []
        try:
            message = _decode(data)
        except _NOT_JSON:
            what = _shown(data) if data.strip() else "empty"
            return "garbage", f"the answer is no JSON object of this API: {what}"
        if message.error is not None:
            return "error_event", _message_of(message.error)
        if message.usage is not None:
            self._take_usage(message.usage)
        texts = [_text_of(choice) or "" for choice in message.choices or ()] or [message.text or ""]
        for choice in message.choices or ():
            self.finish_reason = choice.finish_reason or self.finish_reason
        if self._keep_text:
            self._texts.append(texts[0][:MAX_TEXT])
        return "complete", None

    def _refusal(self, status: int) -> str:
        if 300 <= status < 400:
            return f"{status}: a redirect, which is not followed"
        data = b"".join(self._data)
        try:
            said = msgspec.json.decode(data)
        except _NOT_JSON:
            return f"{status}: {_shown(data)}" if data.strip() else str(status)
        if isinstance(said, dict):
            said = said.get("error") or said.get("detail") or said.get("message") or said
        return f"{status}: {_message_of(said)}"


def printable(text: str) -> str:
    """``text`` as one line of at most 300 characters without control characters."""
    line = " ".join(_NOT_PRINTABLE.sub(" ", text).split())
    return line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 1]}…"


def _text_of(choice: _Choice) -> str | None:
    """What ``choice`` adds to the answer; None if it adds nothing."""
    part = choice.delta or choice.message
    if part is None:
        return choice.text or None
    if part.content:
        return part.content if isinstance(part.content, str) else ""
    return part.reasoning_content or part.reasoning or ("" if part.tool_calls else None)


def _outcome_of(status: int) -> Outcome:
    if status in {429, 503}:
        return "rejected"
    if status >= 500:
        return "server_error"
    if status >= 400:
        return "refused"
    return "redirected" if status >= 300 else "garbage"


def _message_of(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("code") or error
    return printable(str(error))


def _shown(data: bytes) -> str:
    return printable(data[:120].decode("utf-8", "replace")) or "nothing"


def _seconds(value: bytes, scale: float = 1.0) -> float | None:
    """Seconds that a header means: a number, or (Retry-After) an HTTP date."""
    text = value.decode("latin-1")
    try:
        seconds = float(text) * scale
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - datetime.fromtimestamp(time.time(), UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
