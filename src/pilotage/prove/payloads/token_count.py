"""How many tokens the server will see: the text's, and those that its template puts around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilotage.prove.payloads.request_format import Api
from pilotage.tokens import ChatTemplateError, Tokenizer

_PROBE = "hello"


def template_tokens(tokenizer: Tokenizer | None, api: Api) -> int:
    """Tokens that a server of this model adds to a prompt of one user message.

    For chat and infer those of the chat template (0 if the model has none that works); for
    completions BOS, where the model wants one. 0 without a tokenizer.
    """
    if tokenizer is None:
        return 0
    bare = len(tokenizer.encode(_PROBE, add_special_tokens=False))
    if api == "completions":
        return len(tokenizer.encode(_PROBE)) - bare
    try:
        return len(tokenizer.encode_chat([{"role": "user", "content": _PROBE}])) - bare
    except ChatTemplateError:
        return 0


def count_text(tokenizer: Tokenizer | None, text: str, overhead_tokens: int) -> int | None:
    """Tokens of a prompt with `text`; None without a tokenizer. Images are not counted."""
    if tokenizer is None:
        return None
    return len(tokenizer.encode(text, add_special_tokens=False)) + overhead_tokens


def count_messages(
    tokenizer: Tokenizer | None, messages: Sequence[Mapping[str, Any]]
) -> int | None:
    """Tokens of the chat `messages`; None if the model's template cannot tell."""
    if tokenizer is None:
        return None
    try:
        return len(tokenizer.encode_chat(messages))
    except ChatTemplateError:
        return None
