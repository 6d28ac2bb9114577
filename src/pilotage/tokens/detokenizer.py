"""Token ids into text while they are being generated."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from pilotage.tokens.tokenizer import Tokenizer

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class IncrementalDetokenizer:
    """Turns the tokens of one sequence into text as they come, at constant cost a token.

    A character may be spread over several tokens; its bytes are held back until it is whole.
    Bytes that can no longer become a character turn into U+FFFD at once. The pieces that `push`
    and `flush` return make exactly the text that `Tokenizer.decode` makes of all the ids.

    Args:
        tokenizer: The model's tokenizer.
        skip_special_tokens: Leave control tokens such as ``<|im_end|>`` out of the text.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._pieces = tokenizer.pieces(skip_special_tokens=skip_special_tokens)
        self._at_start = tokenizer.strips_leading_space
        self._utf8 = _Utf8Decoder(errors="replace")

    def push(self, ids: Iterable[int]) -> str:
        """Take the next tokens; returns the text that is now certain.

        Ids outside the vocabulary (engines pad it) stand for no text.
        """
        pieces = self._pieces
        count = len(pieces)
        raw = b"".join([pieces[token] for token in ids if 0 <= token < count])
        if self._at_start and raw:
            self._at_start = False
            raw = raw.removeprefix(b" ")
        return self._utf8.decode(raw)

    def flush(self) -> str:
        """The rest, when the sequence has ended: U+FFFD for a character that stayed incomplete."""
        return self._utf8.decode(b"", final=True)
