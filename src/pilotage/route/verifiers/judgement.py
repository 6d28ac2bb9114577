"""Reading a judge's answer: a single number from 0 to 1, or it is no judgement.

A judge is a language model that has just read text from strangers. So nothing is searched for in
what it writes: its whole answer is the number, or a JSON object with the number, or it counts for
nothing. A "score: 1.0" that an answer smuggles into the judge's prose is prose.
"""

from __future__ import annotations

import re
from typing import Final

from pilotage.route.verifiers.strict_json import parsed

_NUMBER: Final = re.compile(r"(?:0(?:\.[0-9]{1,12})?|1(?:\.0{1,12})?|\.[0-9]{1,12})", re.ASCII)
_FENCED: Final = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_MOST_CHARS: Final = 4096


def score_in(text: str) -> float | None:
    """The score, 0 to 1; None if the text is not one score and nothing else."""
    text = text.strip()
    if len(text) > _MOST_CHARS:
        return None
    fenced = _FENCED.fullmatch(text)
    if fenced is not None:
        text = fenced[1]
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        value = parsed(text)
    except ValueError:
        return None
    score = value.get("score") if isinstance(value, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    return float(score) if 0 <= score <= 1 else None
