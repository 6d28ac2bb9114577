"""SentencePiece's BPE as an ordered list of merges, which is what ``tokenizers`` runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pilotage.catalog import TokenType, Vocabulary
from pilotage.errors import ModelError

_MERGED: Final = frozenset({TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED})
_LONGEST: Final = 1024


def merges_by_score(
    vocabulary: Vocabulary, scores: Sequence[float], where: str
) -> list[tuple[str, str]]:
    """The merges that a SentencePiece BPE vocabulary implies, the first to be applied first.

    SentencePiece joins the neighbours whose union is the piece of the highest score. So every
    way to cut a piece in two pieces is a merge, and merges are ordered by the score of what they
    make (``generate_merges`` of Hugging Face transformers, ``convert_slow_tokenizer.py``).

    Raises:
        ModelError: A piece is longer than any real one, or a score is no number.
    """
    ids = {
        token: place
        for place, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True))
        if kind in _MERGED
    }
    if max(map(len, ids), default=0) > _LONGEST:
        raise ModelError(f"damaged: a token of more than {_LONGEST:,} characters", where=where)
    if not all(isinstance(score, float) and not math.isnan(score) for score in scores):
        raise ModelError("damaged: a token's score is not a number", where=where)
    ranked = [
        (-scores[place], place, ids[token[:cut]], ids[token[cut:]])
        for token, place in ids.items()
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    ranked.sort()
    tokens = vocabulary.tokens
    return [(tokens[left], tokens[right]) for _, _, left, right in ranked]
