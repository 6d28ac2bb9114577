"""Texts of words with an exact number of tokens."""

from __future__ import annotations

import random
from typing import Final

from pilotage.prove.payloads.words import WordPool

_TRIES: Final = 8
_ALWAYS_COUNTED: Final = 64
_COUNTED_EVERY: Final = 64


class TextMaker:
    """Makes the texts of one run.

    Where words are known to be one token each, the first texts and one in 64 of the others are
    counted all the same; if one should be off, all are counted from then on.

    Args:
        pool: The words.
        random_stream: Chooses words where a text must grow.
    """

    def __init__(self, pool: WordPool, random_stream: random.Random) -> None:
        self._pool = pool
        self._random = random_stream
        self._trusted = pool.additive
        self._made = 0

    def fit(self, words: list[str], tokens: int) -> tuple[str, int | None]:
        """`words` as a text of `tokens` tokens, and how many it has; None without a tokenizer.

        If need be, words are dropped from its end or added to it. If `tokens` cannot be met in a
        few tries (a vocabulary without whole words), the nearest text is returned.
        """
        text = " ".join(words)
        if self._pool.tokenizer is None:
            return text, None
        self._made += 1
        counted = self._made <= _ALWAYS_COUNTED or self._made % _COUNTED_EVERY == 0
        if self._trusted and not counted:
            return text, tokens
        count = self._pool.count(text)
        if count == tokens:
            return text, count
        self._trusted = False
        return self._mended(list(words), text, count, tokens)

    def _mended(
        self, words: list[str], text: str, count: int, tokens: int
    ) -> tuple[str, int | None]:
        best = text, count
        for _ in range(_TRIES):
            a_word = max(1.0, count / len(words))
            change = round((tokens - count) / a_word) or (1 if tokens > count else -1)
            if change > 0:
                words += self._random.choices(self._pool.words, k=change)
            elif len(words) > 1:
                del words[max(1, len(words) + change) :]
            else:
                words = [self._random.choice(self._pool.words)]
            text = " ".join(words)
            count = self._pool.count(text)
            if abs(count - tokens) < abs(best[1] - tokens):
                best = text, count
            if count == tokens:
                break
        return best
