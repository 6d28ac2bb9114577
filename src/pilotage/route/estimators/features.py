"""What a prompt looks like to the local classifier: hashed n-grams and a few counts.

Nothing here knows a language or keeps a vocabulary. Words, pairs of words and runs of characters
are hashed into buckets (the hashing trick, Weinberger et al., 2009, arXiv 0902.2206), and some
plain marks of a task (its length, digits, choices, code, formulas) are counted. All of it is
vectorised over the text's bytes, so that a prompt takes some tenths of a millisecond with NumPy
alone.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD_BUCKETS: Final = 1 << 14
CHARACTER_BUCKETS: Final = 1 << 14
BUCKETS: Final = WORD_BUCKETS + CHARACTER_BUCKETS
"""Buckets of all n-grams; those of words come first."""

_HEAD: Final = 2000
_TAIL: Final = 800
"""Characters read of a long prompt's beginning and end: the task is stated in one of the two."""

_GRAMS: Final = (3, 4, 5)
_WORD: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_NUMBER: Final = re.compile(r"\d+")
_CHOICE: Final = re.compile(r"^[ \t]*\(?([A-Ha-h])[.):]\s", re.MULTILINE)
_SENTENCE: Final = re.compile(r"[.!?](?:\s|$)")
_CODE: Final = re.compile(
    r"\bdef |\breturn\b|\bimport |\bclass |```|>>>|==|\{\}|\[\]|\(\)|;\n|\bfunction\b"
)
_ASKED: Final = (
    "what",
    "who",
    "when",
    "where",
    "which",
    "why",
    "how",
    "how many",
    "how much",
    "write",
    "find",
    "if",
    "is",
)
_NOT: Final = re.compile(r"\b(?:not|except|least|never|false|incorrect|cannot|no|none)\b")
_STATEMENT: Final = re.compile(r"\bstatement \d|\bthe following\b|\bof the above\b|___")
_LONG_WORD: Final = 9
_MIX: Final = np.uint32(2654435761)  # Knuth's multiplicative constant, floor(2^32 / golden ratio)
_STEP: Final = np.uint32(16777619)  # FNV's prime


@dataclass(frozen=True, slots=True)
class Features:
    """A prompt's features.

    Attributes:
        buckets: Which buckets it has something in, ascending, of `BUCKETS`.
        counts: How much, each 1 + ln(occurrences).
        marks: Values of `MARKS`, not scaled.
    """

    buckets: NDArray[np.int64]
    counts: NDArray[np.float32]
    marks: NDArray[np.float32]


def featurise(prompt: str) -> Features:
    """The features of a prompt; of a very long one those of its beginning and end."""
    whole = len(prompt)
    if whole > _HEAD + _TAIL:
        prompt = f"{prompt[:_HEAD]}\n{prompt[-_TAIL:]}"
    lowered = prompt.lower()
    words = _WORD.findall(lowered)
    hashes = np.concatenate([_word_buckets(words), _character_buckets(lowered) + WORD_BUCKETS])
    found, often = np.unique(hashes, return_counts=True)
    counts = (1.0 + np.log(often)).astype(np.float32)
    return Features(found, counts, _marks(prompt, lowered, words, whole))


def _word_buckets(words: list[str]) -> NDArray[np.int64]:
    """Buckets of words and of pairs of neighbours; a number counts by its length alone."""
    if not words:
        return np.empty(0, np.int64)
    spelt = ["0" * min(len(word), 6) if word[0].isdigit() else word for word in words]
    single = np.array([zlib.crc32(word.encode("utf-8", "replace")) for word in spelt], np.uint32)
    pairs = (single[:-1] * _MIX) ^ (single[1:] + _STEP)
    return _into(np.concatenate([single, pairs]), WORD_BUCKETS)


def _character_buckets(lowered: str) -> NDArray[np.int64]:
    """Buckets of runs of three to five bytes, digits all alike."""
    text = f" {' '.join(_NUMBER.sub('0', lowered).split())} "
    raw = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.uint32)
    every = []
    for length in _GRAMS:
        if len(raw) < length:
            break
        rolled = np.full(len(raw) - length + 1, length, np.uint32)
        for offset in range(length):
            rolled = (rolled ^ raw[offset : offset + len(rolled)]) * _STEP
        every.append(rolled)
    if not every:
        return np.empty(0, np.int64)
    return _into(np.concatenate(every), CHARACTER_BUCKETS)


def _into(hashes: NDArray[np.uint32], buckets: int) -> NDArray[np.int64]:
    """Hashes spread over so many buckets, a power of two, by their best mixed upper bits."""
    mixed = (hashes ^ (hashes >> np.uint32(15))) * _MIX
    return (mixed >> np.uint32(32 - buckets.bit_length() + 1)).astype(np.int64)


def _marks(prompt: str, lowered: str, words: list[str], whole: int) -> NDArray[np.float32]:
    length = max(1, len(prompt))
    letters = sum(map(len, words)) or 1
    digits = sum(map(str.isdigit, prompt))
    start = lowered.lstrip()
    last = prompt.rstrip()[-1:]
    tail = lowered[-160:]
    values = [
        math.log1p(whole),
        math.log1p(len(words)),
        math.log1p(len(_SENTENCE.findall(prompt))),
        math.log1p(prompt.count("\n")),
        letters / (len(words) or 1),
        math.log1p(digits),
        math.log1p(len(_NUMBER.findall(prompt))),
        digits / length,
        math.log1p(len(_CHOICE.findall(prompt))),
        math.log1p(len(_CODE.findall(prompt))),
        math.log1p(prompt.count("$")),
        math.log1p(prompt.count("\\")),
        math.log1p(sum(map(prompt.count, "+-*/=^<>"))),
        math.log1p(prompt.count(",")),
        math.log1p(prompt.count('"') + prompt.count("'")),
        math.log1p(sum(map(str.isupper, prompt))),
        sum(map(str.isupper, prompt)) / length,
        len(set(words)) / (len(words) or 1),
        float(last == "?"),
        float(last == "."),
        float(last == ":"),
        float("_" in prompt),
        float(prompt[:1].isupper()),
        float(not prompt.isascii()),
        math.log1p(len(_NOT.findall(lowered))),
        math.log1p(len(_STATEMENT.findall(lowered))),
        sum(len(word) > _LONG_WORD for word in words) / (len(words) or 1),
        *_choices(prompt),
        *(float(start.startswith(word)) for word in _ASKED),
        *(float(word in tail) for word in ("how many", "how much", "which", "what")),
    ]
    return np.array(values, np.float32)


def _choices(prompt: str) -> tuple[float, float, float, float]:
    """Of a question with choices: its length, theirs, their spread, how many hold digits."""
    question, *choices = _CHOICE.split(prompt)
    # What is split by comes along: the letter, then the choice.
    lengths = [len(choice) for choice in choices[1::2]]
    if not lengths:
        return math.log1p(len(question)), 0.0, 0.0, 0.0
    with_digits = sum(any(map(str.isdigit, choice)) for choice in choices[1::2])
    return (
        math.log1p(len(question)),
        math.log1p(sum(lengths) / len(lengths)),
        math.log1p(max(lengths)) - math.log1p(min(lengths)),
        with_digits / len(lengths),
    )


MARKS: Final = len(_marks("", "", [], 0))
"""How many plain marks a prompt has."""
