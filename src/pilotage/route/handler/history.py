"""A conversation that has grown too long, cut where it still makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Message = dict[str, Any]

_INSTRUCTIONS: Final = frozenset({"system", "developer"})


def trimmed(messages: Sequence[Message], most: int) -> list[Message] | None:
    """The conversation's newest part, with at most ``most`` messages.

    Instructions (system and developer messages) all stay. Of the rest the oldest messages go, and
    then those before the next message of a user: an answer without its question, or a tool's
    result without its call, would mislead the model, and most providers refuse it.

    Returns:
        The messages in their order; None where nothing sensible is left within the bound: too many
        instructions, or a last turn that is too long by itself.
    """
    if len(messages) <= most:
        return list(messages)
    instructions = sum(message.get("role") in _INSTRUCTIONS for message in messages)
    spare = len(messages) - most
    kept: list[Message] = []
    dropped = 0
    begun = False
    for message in messages:
        if message.get("role") in _INSTRUCTIONS:
            kept.append(message)
        elif begun or (dropped >= spare and message.get("role") == "user"):
            begun = True
            kept.append(message)
        else:
            dropped += 1
    return kept if len(kept) > instructions else None
