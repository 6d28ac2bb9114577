"""The best spans of a text, from start and end logits of the windows it was read in.

The procedure is that of the question-answering pipeline of `transformers` (4.57,
``pipelines/question_answering.py``), so that answers and scores are the same: in every window
the logits of tokens outside the text are ruled out, start and end become probabilities by a
softmax, and a span's score is the product of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.tokens import PairWindow

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text.

    Attributes:
        start: Its first character; ``end`` the one after its last. Both 0 for "no answer".
        score: Its probability, in the window it was found in.
    """

    start: int
    end: int
    score: float


def best_spans(
    windows: Sequence[PairWindow],
    logits: Sequence[Floats],
    *,
    top_k: int,
    max_answer_tokens: int,
    allow_none: bool = False,
) -> list[Span]:
    """The best spans of all windows, best first, each once, at most `top_k`.

    Args:
        windows: The text's windows.
        logits: Start and end logits of each, ``[2, tokens]``.
        top_k: Most spans.
        max_answer_tokens: Tokens of the longest span.
        allow_none: Whether "no answer" competes; its score is that of the first token.
    """
    found: dict[tuple[int, int], float] = {}
    no_answer = 1.0
    for window, pair in zip(windows, logits, strict=True):
        start, end = _probabilities(window, pair)
        no_answer = min(no_answer, float(start[0] * end[0]))
        start[0] = end[0] = 0.0
        for first, last, score in _in_window(start, end, top_k, max_answer_tokens):
            begin_word, end_word = window.words[first], window.words[last]
            if begin_word is None or end_word is None:
                continue
            place = (begin_word[0], end_word[1])
            found[place] = max(score, found.get(place, 0.0))
    spans = [Span(start, end, score) for (start, end), score in found.items()]
    if allow_none:
        spans.append(Span(0, 0, no_answer))
    return sorted(spans, key=lambda span: (-span.score, span.start, span.end))[:top_k]


def _probabilities(window: PairWindow, pair: Floats) -> tuple[Floats, Floats]:
    # The first token stays in, as in the original: it stands for "no answer".
    outside = np.array([span is None for span in window.spans])
    outside[0] = False
    masked = np.where(outside, np.float32(-10_000.0), pair)
    powers = np.exp(masked - masked.max(axis=-1, keepdims=True))
    start, end = powers / powers.sum(axis=-1, keepdims=True)
    return start, end


def _in_window(
    start: Floats, end: Floats, top_k: int, longest: int
) -> list[tuple[int, int, float]]:
    """First token, last token and score of the best spans of a window."""
    scores = np.tril(np.triu(np.outer(start, end)), longest - 1)
    flat = scores.ravel()
    # More than asked for, since spans of the same words fall together.
    count = min(len(flat), 4 * top_k)
    best = np.argpartition(-flat, count - 1)[:count]
    return [
        (int(place) // len(end), int(place) % len(end), float(flat[place]))
        for place in best
        if flat[place] > 0
    ]
