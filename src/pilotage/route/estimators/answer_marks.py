"""What an answer's text gives away about whether it is right, without a model.

Sums are done again, numbers are compared with the question's, hedging and refusals are counted.
None of it decides anything: it is what an `AnswerScorer` learns from.
"""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST: Final = 6000
"""Characters of an answer that are read; of a longer one its end, where the result is."""

_NUMBER: Final = re.compile(r"-?\d[\d,]{0,15}(?:\.\d{1,12})?")
_PLAIN: Final = r"\$?(\d[\d,]{0,12}(?:\.\d{1,8})?)%?"
_SUM: Final = re.compile(
    rf"(?<![\d.]){_PLAIN}[ ]?([-+*/x\u00d7\u00f7])[ ]?{_PLAIN}[ ]?=[ ]?{_PLAIN}(?![\d/])"
)
_HEDGES: Final = re.compile(
    r"\b(?:however|but|assum\w{0,6}|approximately|about|roughly|cannot|can't|unclear|sorry|"
    r"impossible|not enough|unable|actually|wait|mistake|therefore|since|round\w{0,4})\b"
)
_REFUSALS: Final = re.compile(
    r"\b(?:i cannot|i can't|i'm sorry|as an ai|i am unable|not possible)\b"
)
_BEFORE_CHAINED: Final = re.compile(r"[-+*/x\u00d7\u00f7][ ]?$")


def answer_marks(prompt: str, answer: str) -> NDArray[np.float32]:
    """Marks of an answer, always as many, not scaled."""
    answer, prompt = answer[-_MOST:], prompt[-_MOST:]
    said, asked = _numbers(answer), _numbers(prompt)
    given, made = set(asked), set(said)
    right, wrong = _sums(answer)
    last = said[-1] if said else 0.0
    lowered = answer.lower()
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    values = [
        math.log1p(len(answer)),
        math.log1p(len(lines)),
        math.log1p(len(said)),
        math.log1p(right),
        math.log1p(wrong),
        wrong / (right + wrong or 1),
        len(given & made) / (len(given) or 1),
        math.log1p(len(given - made)),
        len(made & given) / (len(made) or 1),
        math.log1p(len(made - given)),
        math.log1p(sum(number != int(number) for number in said)),
        float(not said),
        float(last != int(last)),
        float(last < 0),
        math.log1p(abs(last)),
        float(last in given),
        math.log1p(said.count(last)),
        math.log1p(max(map(abs, asked), default=0.0)) - math.log1p(abs(last)),
        math.log1p(len(_HEDGES.findall(lowered))),
        math.log1p(len(_REFUSALS.findall(lowered))),
        float("####" in answer),
        float("=" in answer),
        math.log1p(answer.count("=")),
        float(answer.rstrip()[-1:] in ".!?)0123456789"),
        1 - len(set(lines)) / (len(lines) or 1),
        float(not answer.strip()),
        len(answer) / (len(answer) + len(prompt) + 1),
    ]
    return np.array(values, np.float32)


ANSWER_MARKS: Final = 27
"""How many marks an answer has."""


def _numbers(text: str) -> list[float]:
    return [float(one.replace(",", "")) for one in _NUMBER.findall(text)[:500]]


def _sums(text: str) -> tuple[int, int]:
    """How many sums of two numbers are right, and how many are not."""
    right = wrong = 0
    for found in _SUM.finditer(text):
        # The end of a longer sum says nothing about its last two numbers.
        if _BEFORE_CHAINED.search(text, max(0, found.start() - 3), found.start()):
            continue
        first, sign, second, result = found.groups()
        a, b, said = (float(one.replace(",", "")) for one in (first, second, result))
        if sign in "/÷" and b == 0:
            wrong += 1
            continue
        true = {"+": a + b, "-": a - b}.get(sign, a / b if sign in "/÷" else a * b)
        near = abs(true - said) <= max(0.011, 0.006 * abs(true))
        near = near or abs(true / 100 - said) <= 0.011
        right, wrong = right + near, wrong + (not near)
    return right, wrong
