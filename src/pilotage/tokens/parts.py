"""What a tokenizer is made of, whichever files it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tokenizers


@dataclass(frozen=True, slots=True)
class TokenizerParts:
    """Everything that `Tokenizer` needs to know about a model's vocabulary.

    Attributes:
        backend: Encodes; its post-processor adds BOS and EOS where the model wants them.
        pieces: The bytes of each token as they appear in text, special tokens' included; a
            token's id is its place.
        special: Ids of the control tokens, which are no text: ``<|im_end|>``.
        strips_leading_space: Decoding drops one space at the beginning, which encoding added.
        bos_id: The token that begins a text, if the model has one.
        eos_ids: The tokens that end an answer, the model's own EOS first.
        special_names: What chat templates may name, such as ``bos_token``: name to text.
        chat_templates: Name to source; ``default`` is used unless ``tool_use`` fits.
    """

    backend: tokenizers.Tokenizer
    pieces: tuple[bytes, ...]
    special: frozenset[int]
    strips_leading_space: bool
    bos_id: int | None
    eos_ids: tuple[int, ...]
    special_names: Mapping[str, str]
    chat_templates: Mapping[str, str]
