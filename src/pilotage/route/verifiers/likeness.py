"""How alike two answers to the same request are."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pilotage.route.answer import Answer
from pilotage.route.verifiers.strict_json import parsed

_MOST_WORDS: Final = 2000
_TAIL: Final = 4000
_WORD: Final = re.compile(
    # Scripts without spaces are compared by the character.
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+"
)
_NUMBER: Final = r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_STATED: Final = re.compile(
    # Where an answer says which of its numbers or letters is the answer.
    rf"(?:####|\\boxed\{{|\b(?:final )?answer(?: is|:)|\b(?:antwort|lösung)(?: ist|:)"
    rf"|\bréponse(?: est|:|\s:)|\brespuesta(?: es|:)|答案(?:是|[:\uff1a]))[\s*$€£:(\"]*"
    rf"({_NUMBER}|[A-J](?![A-Za-z]))",
    re.IGNORECASE,
)
_BARE: Final = re.compile(rf"[\s*$€£(\"]*({_NUMBER}|[A-Ja-j])[\s*%).\"]*")
_ASKS_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|far|long|old|fast|tall)\b|\bcalculate\b|\bcompute\b|\bwie ?viele?\b"
    r"|\bcombien\b|\bcu[aá]nt[oa]s?\b|多少|几个",
    re.IGNORECASE,
)
_ANY_NUMBER: Final = re.compile(_NUMBER)


def likeness(prompt: str, one: Answer, other: Answer) -> tuple[float, str]:
    """From 0 (nothing in common) to 1 (the same), and what was compared.

    Tool calls are compared by name and arguments; results (a number, a letter of a choice) by
    value where both answers state one; other texts by the share of words that they have in
    common, the F1 of Rajpurkar et al. (SQuAD, EMNLP 2016, section 4.3).
    """
    if one.tool_calls or other.tool_calls:
        return float(_calls(one) == _calls(other)), "tool calls"
    results = result_of(prompt, one.text), result_of(prompt, other.text)
    if results[0] is not None and results[1] is not None:
        return float(results[0] == results[1]), "results"
    return _common(one.text, other.text), "words"


def result_of(prompt: str, text: str) -> Decimal | str | None:
    """The number or the letter that an answer comes to; None if it states none."""
    text = text[-_TAIL:].strip()
    stated = [match[1] for match in _STATED.finditer(text)]
    if stated:
        return _value(stated[-1])
    bare = _BARE.fullmatch(text)
    if bare is not None:
        return _value(bare[1])
    if _ASKS_NUMBER.search(prompt[-_TAIL:]):
        numbers = _ANY_NUMBER.findall(text)
        return _value(numbers[-1]) if numbers else None
    return None


def _value(text: str) -> Decimal | str:
    try:
        return Decimal(text.replace(",", "").replace("\u2212", "-")).normalize()
    except InvalidOperation:
        return text.upper()


def _common(one: str, other: str) -> float:
    bags = [Counter(_WORD.findall(text.casefold())[:_MOST_WORDS]) for text in (one, other)]
    sizes = [bag.total() for bag in bags]
    if not all(sizes):
        return float(one.strip() == other.strip())
    return 2 * (bags[0] & bags[1]).total() / sum(sizes)


def _calls(answer: Answer) -> list[tuple[Any, Any]]:
    return [
        (function.get("name"), _arguments(function.get("arguments")))
        for one in answer.tool_calls
        for function in (one.get("function") or {},)
    ]


def _arguments(text: Any) -> Any:
    try:
        return parsed(text)
    except (ValueError, TypeError):
        return text
