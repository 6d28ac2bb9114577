"""A model's vocabulary, as its GGUF header carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pilotage.catalog.gguf import GGUFHeader
from pilotage.errors import ModelError


class TokenType(IntEnum):
    """What a token is for (``llama_token_type`` of llama.cpp)."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a model; a token's id is its place in `tokens`.

    Attributes:
        model: The tokenizer: ``gpt2`` (byte-level BPE: each character stands for one byte, by
            GPT-2's table), ``llama`` (SentencePiece: ``▁`` stands for a space, ``<0x0A>`` for a
            byte), ``bert``, …
        tokens: The tokens' texts in the tokenizer's own notation.
        types: What each token is for, as long as `tokens`.
        bos_id: The token that begins a text, if the model has one.
        eos_id: The token that ends a text, if the model has one.
    """

    model: str
    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    bos_id: int | None
    eos_id: int | None

    @staticmethod
    def from_gguf(header: GGUFHeader) -> Vocabulary:
        """Decode the vocabulary of a GGUF file.

        Raises:
            ModelError: The file has none, or it contradicts itself.
        """
        where = str(header.path)
        model = header.text("tokenizer.ggml.model")
        tokens = header.texts("tokenizer.ggml.tokens")
        if model is None or not tokens:
            raise ModelError("the file holds no vocabulary", where=where)
        numbers = header.integers("tokenizer.ggml.token_type")
        if numbers is None:
            numbers = (int(TokenType.NORMAL),) * len(tokens)
        if len(numbers) != len(tokens):
            raise ModelError(
                f"damaged: {len(tokens):,} tokens and {len(numbers):,} token types", where=where
            )
        meanings = {int(kind): kind for kind in TokenType}
        try:
            types = tuple(meanings[number] for number in numbers)
        except KeyError as error:
            raise ModelError(f"damaged: unknown token type {error.args[0]}", where=where) from error
        ends = []
        for key in ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"):
            token = header.integer(key)
            if token is not None and token >= len(tokens):
                raise ModelError(f"damaged: {key} is {token}, beyond the vocabulary", where=where)
            ends.append(token)
        return Vocabulary(model, tokens, types, ends[0], ends[1])
