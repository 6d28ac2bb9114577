"""Answers that stop before their end, though nobody asked them to."""

from __future__ import annotations

import re
from typing import Final

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers.verifier import NO_OPINION, Verdict, at_fault

_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_LEAST_CHARS: Final = 80
"""Of shorter answers ("Ready,") no end can be expected."""

_OPEN_END: Final = re.compile(
    # Marks and words after which something must come. Words that do end a line without a full
    # stop ("for x and y", "come up with", "vitamin A") are not among them.
    r"(?:[,(\[{\u2013\uff0c\u3001]|(?<![-\n])-"
    r"|\b(?:and|or|but|the|an|of|because|which|und|oder|aber|der|das|ein|eine|weil"
    r"|et|ou|mais|le|la|les|une?|de|avec|parce que|pero|el|los|las|porque|il|che|os))$"
)
"""What no answer ends with."""


class TruncationVerifier:
    """Finds answers that are cut off, or empty.

    It only finds faults. A length that the client asked for, or a stop sequence of its own, is no
    fault of the model.
    """

    name = "truncation"

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """0 if the answer broke off, no opinion otherwise."""
        fault = _fault(call, answer)
        return NO_OPINION if fault is None else at_fault(fault)


def _fault(call: Call, answer: Answer) -> str | None:
    end = answer.text.rstrip()
    fault = None
    if answer.finish_reason == "length":
        fault = None if _was_asked(call, answer) else "cut off at a length"
    elif not end:
        fault = None if answer.tool_calls else "empty"
    elif not call.body.get("stop"):
        if _open_fence(answer.text):
            fault = "a code block is not closed"
        elif len(end) >= _LEAST_CHARS and _OPEN_END.search(end[-16:]):
            fault = "ends inside a sentence"
    return fault


def _was_asked(call: Call, answer: Answer) -> bool:
    """Whether it is the client's own bound that ended it, and not the model's context."""
    if call.max_tokens is None:
        return False
    usage = answer.usage
    return usage is None or usage.estimated or usage.completion_tokens >= call.max_tokens


def _open_fence(text: str) -> bool:
    """Whether a block of code is open at the end: CommonMark's rule, a fence as long or longer."""
    opened: str | None = None
    for match in _FENCE.finditer(text):
        fence = match[1]
        if opened is None:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            # A fence with a word behind it opens; inside a block it is text.
            line = text[match.end() : text.find("\n", match.end()) % (len(text) + 1)]
            if not line.strip():
                opened = None
    return opened is not None
