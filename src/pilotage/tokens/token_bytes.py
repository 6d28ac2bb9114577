"""How vocabularies write bytes: GPT-2's alphabet, SentencePiece's and WordPiece's notation."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = "▁"
_BYTE: Final = re.compile("<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's table (``bytes_to_unicode`` of its ``encoder.py``), inverted, for `str.translate`.

    Printable bytes of Latin-1 stand for themselves, the others are written as U+0100 and up, in
    order. Characters below U+0100 that stand for no byte become U+FFFF.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(0x100) if byte not in printable]
    table = dict.fromkeys(others, "\uffff")
    table |= {0x100 + place: chr(byte) for place, byte in enumerate(others)}
    return table


_BYTE_ALPHABET: Final = _byte_alphabet()


def byte_level_piece(token: str) -> bytes:
    """The bytes of a token of a byte-level BPE vocabulary (GPT-2, Llama 3, Qwen).

    A token with a character that stands for no byte is literal text, as in ``tokenizers``.
    """
    try:
        return token.translate(_BYTE_ALPHABET).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()


def sentencepiece_piece(token: str) -> bytes:
    """The bytes of a SentencePiece token: ``▁`` is a space, ``<0x0A>`` is one byte."""
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(_SPACE, " ").encode()


def wordpiece_piece(token: str, *, prefix: str = "##") -> bytes:
    """The bytes of a WordPiece token (BERT): ``##`` goes on with a word, others begin one.

    What the text had between words is lost in such a vocabulary; a space stands for it.
    """
    if token.startswith(prefix) and token != prefix:
        return token.removeprefix(prefix).encode()
    return f" {token}".encode()
