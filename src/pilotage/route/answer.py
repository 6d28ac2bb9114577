"""What comes back from a backend: chunks, and what they cost in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one attempt, as the provider reports them.

    Attributes:
        prompt_tokens: All of the prompt, what the provider's cache held included.
        completion_tokens: All that was generated, hidden reasoning included.
        cache_read_tokens: Of the prompt, read from the provider's prompt cache.
        cache_write_tokens: Of the prompt, written to it.
        images: Images in the prompt; their tokens are among the prompt's.
        estimated: The provider said nothing (it broke off, it never does): counted by us, from
            the text. A ledger row says so.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    images: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an answer; every field may be empty.

    Attributes:
        text: More of the answer.
        reasoning: More of the model's visible reasoning.
        tool_calls: More of its tool calls, in OpenAI's ``delta.tool_calls`` form.
        logprobs: Log-probabilities of the new tokens, where asked for and told.
        finish_reason: In the chunk that ends the answer: OpenAI's words.
        usage: In one of the last chunks.
        model: The model that answers, as it calls itself; in the first chunk that says so.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, put together from its chunks."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
