"""Distinct chat prompts of 30 to 60 tokens, the same on every run.

No two begin alike after the system prompt that the chat template adds, so that a prefix cache
gives nobody an advantage beyond that system prompt.
"""

from __future__ import annotations

from itertools import product

_OPENINGS = (
    "Explain to a new colleague",
    "Write a short note about",
    "List the main points of",
    "Compare two common views of",
    "Describe, step by step,",
    "Give a friendly introduction to",
    "Summarise for a busy reader",
    "Tell a short story about",
)
_SUBJECTS = (
    "how bread rises in the oven",
    "the way tides follow the moon",
    "planning a week of simple meals",
    "why leaves change colour in autumn",
    "repairing a flat bicycle tyre",
    "how a library lends its books",
    "the first railways in the world",
    "keeping a small vegetable garden",
    "how vaccines train the body",
    "learning to play the piano late",
    "what makes a good team meeting",
    "how lighthouses guided sailors",
    "saving water in a dry summer",
    "the history of the postage stamp",
    "how bees find their way home",
    "writing a letter to an old friend",
)
_MANNERS = (
    "Use plain words and one example from daily life, and end with a question for the reader.",
    "Keep the tone warm, avoid jargon, and mention one mistake that beginners often make.",
    "Begin with the most surprising fact, then explain it in the order in which it was found.",
    "Write for a twelve-year-old who likes to know how things work, with no more than one number.",
)


def prompts(count: int, *, skip: int = 0) -> tuple[str, ...]:
    """`count` prompts, the first `skip` of the endless list left out; no two are the same."""
    kinds = tuple(product(_MANNERS, _SUBJECTS, _OPENINGS))
    chosen = []
    for number in range(skip, skip + count):
        manner, subject, opening = kinds[number % len(kinds)]
        # The number stands first: it alone makes every later token differ from other prompts'.
        chosen.append(f"{number + 1}. {opening} {subject}. {manner}")
    return tuple(chosen)
