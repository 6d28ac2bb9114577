"""Answers as bytes: what chat and completions have in common.

A stream writes the same chunk thousands of times with another text in it. So everything around
the text is encoded once a choice, and a chunk costs one JSON string and one concatenation.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from pilotage.engines.engine import FinishReason
from pilotage.serve.api.sequence import Piece, ScoredToken

DONE = b"data: [DONE]\n\n"

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every chunk of an answer repeats.

    Attributes:
        id: The answer's id.
        model: The served model's name.
        fingerprint: Changes when the model or its engine does.
        with_usage: Whether a stream ends with the token counts.
        created: Unix time, seconds.
    """

    id: str
    model: str
    fingerprint: str
    with_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def head(self, kind: str) -> dict[str, Any]:
        """The first members of the answer, or of a chunk of it."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


@dataclass(slots=True)
class FinishedChoice:
    """A choice that has come to its end."""

    index: int
    text: str = ""
    scored: list[ScoredToken] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def add(self, piece: Piece) -> None:
        """Append what a chunk of tokens brought."""
        if piece.restarted:
            self.text, self.scored = "", []
        self.text += piece.text
        self.scored += piece.scored
        self.finish_reason = piece.finish_reason


class AnswerFormat(Protocol):
    """Writes one answer; `ChatFormat` and `CompletionFormat` do."""

    def opening(self, index: int) -> bytes:
        """The events that begin a choice in a stream."""

    def piece(self, index: int, piece: Piece) -> bytes:
        """The events for what a chunk of tokens brought; none if it brought nothing to show."""

    def usage(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The event with the token counts, if it was asked for."""

    def whole(
        self, choices: list[FinishedChoice], prompt_tokens: int, completion_tokens: int
    ) -> bytes:
        """The answer in one."""


def new_id(prefix: str) -> str:
    """An id such as ``chatcmpl-…``."""
    return f"{prefix}-{uuid.uuid4().hex}"


@lru_cache(maxsize=64)
def fingerprint(model: str, engine: str) -> str:
    """OpenAI's ``system_fingerprint`` of a model on an engine."""
    digest = hashlib.blake2b(f"{model}\0{engine}".encode(), digest_size=5).hexdigest()
    return f"fp_{digest}"


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The ``usage`` object."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def event(data: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + encode(data) + b"\n\n"


def around(chunk: dict[str, Any], mark: str) -> tuple[bytes, bytes]:
    """The event of a chunk, cut in two where the JSON string `mark` stands in it."""
    before, _, after = event(chunk).partition(encode(mark))
    return before, after
