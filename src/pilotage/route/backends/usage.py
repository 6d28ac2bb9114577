"""Tokens: as a provider tells them, believed as far as they can be true, or estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pilotage.route.answer import Usage
from pilotage.route.call import Call, text_of

_MOST_TOKENS: Final = 1_000_000_000
_BYTES_PER_TOKEN: Final = 4
"""OpenAI's rule of thumb for English text (help.openai.com, "What are tokens")."""

_TOKENS_PER_MESSAGE: Final = 4
"""Role and separators, as ChatML has them."""

_TOKENS_PER_IMAGE: Final = 765
"""What OpenAI's GPT-4o counts for a picture of 1024 x 1024 (platform.openai.com, "Vision")."""


def usage_of(said: Any) -> Usage | None:
    """The ``usage`` object of an OpenAI-compatible answer.

    Returns:
        None where it is no object, or its counts cannot be true: text, negative, no prompt at
        all. Details that cannot be true (more tokens from the cache than in the prompt) are left
        out, which prices them as if no cache had held them.
    """
    if not isinstance(said, Mapping):
        return None
    prompt, completion = _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))
    if not prompt or completion is None:
        return None
    details = said.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cache_read_tokens=cached if cached is not None and cached <= prompt else 0,
    )


def _count(value: Any) -> int | None:
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value <= _MOST_TOKENS else None


def estimated_tokens(size: int) -> int:
    """About how many tokens a text of ``size`` bytes of UTF-8 is."""
    return -(-size // _BYTES_PER_TOKEN)


def estimated_prompt(call: Call) -> int:
    """About how many tokens a request's prompt is: messages, tools, images."""
    size = 0
    tokens = call.images * _TOKENS_PER_IMAGE
    for message in call.messages:
        tokens += _TOKENS_PER_MESSAGE
        size += len(text_of(message.get("content")).encode("utf-8", "replace"))
        size += _size(message.get("tool_calls"))
    size += _size(call.body.get("tools"))
    return tokens + estimated_tokens(size)


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value)) if value else 0
