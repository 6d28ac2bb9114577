"""Pairs of texts, such as a question and a text, in windows that fit into an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tokenizers


@dataclass(frozen=True, slots=True)
class PairWindow:
    """A pair of texts as an encoder reads them, or the part of the second that fits.

    Attributes:
        ids: Token ids, special tokens included.
        segments: The segment of every token, a byte each.
        spans: Where in the second text every token stands: characters from and to; None for
            tokens that are not of the second text.
        words: The same for the whole word that the token is part of.
    """

    ids: list[int]
    segments: bytes
    spans: tuple[tuple[int, int] | None, ...]
    words: tuple[tuple[int, int] | None, ...]


def pair_windows(
    backend: tokenizers.Tokenizer, first: str, second: str, *, max_tokens: int, stride: int
) -> list[PairWindow]:
    """See `pilotage.tokens.Tokenizer.encode_pair`."""
    before, after = backend.encode_batch([first, second], add_special_tokens=False)
    room = max_tokens - len(before) - backend.num_special_tokens_to_add(is_pair=True)
    if room <= stride:
        raise ValueError(f"{len(before)} tokens leave no room for a window of {max_tokens}")
    words = _word_spans(after)
    after.truncate(room, stride=stride)
    return [
        _window(backend.post_process(before, part, add_special_tokens=True), words)
        for part in (after, *after.overflowing)
    ]


def _word_spans(encoding: Any) -> dict[int, tuple[int, int]]:
    """From and to of every word, by the word's number."""
    words: dict[int, tuple[int, int]] = {}
    for word, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            known = words.get(word, (begin, end))
            words[word] = (min(known[0], begin), max(known[1], end))
    return words


def _window(encoding: Any, words: dict[int, tuple[int, int]]) -> PairWindow:
    of_second = [number == 1 for number in encoding.sequence_ids]
    return PairWindow(
        ids=list(encoding.ids),
        segments=bytes(encoding.type_ids),
        spans=tuple(
            span if ours else None for span, ours in zip(encoding.offsets, of_second, strict=True)
        ),
        words=tuple(
            words.get(word, span) if ours else None
            for word, span, ours in zip(encoding.word_ids, encoding.offsets, of_second, strict=True)
        ),
    )
