"""Tokenizers from the metadata of GGUF files.

Keys and meaning: ``docs/gguf.md`` of ggml and ``llama-vocab.cpp`` of llama.cpp, read 2026-11.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, processors

from pilotage.catalog import GGUFArray, GGUFHeader, TokenType, Vocabulary, read_header
from pilotage.errors import ModelError, UnsupportedModelError
from pilotage.tokens.parts import TokenizerParts
from pilotage.tokens.pre_tokenization import PRE_TOKENIZATIONS
from pilotage.tokens.sentencepiece import merges_by_score
from pilotage.tokens.token_bytes import byte_level_piece, sentencepiece_piece

_INSTEAD: Final = (
    "Use the model's folder with its tokenizer.json, or an engine that tokenizes by itself, such "
    "as llama-server"
)
_SPECIAL_TYPES: Final = frozenset({TokenType.CONTROL, TokenType.UNKNOWN})
_END_KEYS: Final = ("eot_token_id", "eom_token_id")
# Control tokens that end an answer in every model that has them; files often name just one.
_END_TEXTS: Final = frozenset(
    {
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<end_of_turn>",
        "</s>",
    }
)
_NAMED: Final = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def parts_from_gguf(path: Path) -> TokenizerParts:
    """The tokenizer in the GGUF file at `path`.

    Raises:
        ModelError: The file is damaged or holds no vocabulary.
        UnsupportedModelError: Its kind of tokenizer is unknown here.
    """
    header = read_header(path)
    vocabulary = Vocabulary.from_gguf(header)
    if vocabulary.model == "gpt2":
        backend, adds_bos = _byte_level(header, vocabulary)
        pieces = tuple(map(byte_level_piece, vocabulary.tokens))
        prefix = False
    elif vocabulary.model == "llama":
        prefix = _flag(header, "add_space_prefix", default=True)
        backend, adds_bos = _sentencepiece(header, vocabulary, prefix=prefix)
        pieces = tuple(map(sentencepiece_piece, vocabulary.tokens))
    else:
        raise UnsupportedModelError(
            f"a tokenizer of kind {vocabulary.model!r}, which Pilotage does not have",
            where=str(path),
            hint=_INSTEAD,
        )
    special = frozenset(
        token for token, kind in enumerate(vocabulary.types) if kind in _SPECIAL_TYPES
    )
    literal = {token: vocabulary.tokens[token].encode() for token in special}
    _recognise_added_tokens(backend, vocabulary)
    _add_ends(
        backend,
        vocabulary.bos_id if _flag(header, "add_bos_token", default=adds_bos) else None,
        vocabulary.eos_id if _flag(header, "add_eos_token", default=False) else None,
    )
    return TokenizerParts(
        backend=backend,
        pieces=tuple(literal.get(token, piece) for token, piece in enumerate(pieces)),
        special=special,
        strips_leading_space=prefix,
        bos_id=vocabulary.bos_id,
        eos_ids=_eos_ids(header, vocabulary, special),
        special_names={
            name: vocabulary.tokens[token]
            for name, key in _NAMED.items()
            if (token := _token_id(header, vocabulary, key)) is not None
        },
        chat_templates=_chat_templates(header),
    )


def _byte_level(header: GGUFHeader, vocabulary: Vocabulary) -> tuple[tokenizers.Tokenizer, bool]:
    name = header.text("tokenizer.ggml.pre") or "default"
    rule = PRE_TOKENIZATIONS.get(name)
    if rule is None:
        raise UnsupportedModelError(
            f"a pre-tokenizer {name!r}, which Pilotage does not have",
            where=str(header.path),
            hint=_INSTEAD,
        )
    merges = []
    for merge in header.texts("tokenizer.ggml.merges") or ():
        left, _, right = merge.partition(" ")
        merges.append((left, right))
    if not merges:
        raise ModelError("the vocabulary has no merges", where=str(header.path))
    backend = tokenizers.Tokenizer(_bpe(header, vocabulary, merges, ignore_merges=rule.whole_words))
    backend.pre_tokenizer = rule.steps()
    backend.decoder = decoders.ByteLevel()
    if rule.composes:
        backend.normalizer = normalizers.NFC()
    return backend, rule.adds_bos


def _sentencepiece(
    header: GGUFHeader, vocabulary: Vocabulary, *, prefix: bool
) -> tuple[tokenizers.Tokenizer, bool]:
    where = str(header.path)
    scores = header.metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, GGUFArray) or len(scores) != len(vocabulary.tokens):
        raise ModelError("damaged: the vocabulary has no score for each token", where=where)
    unknown = _token_id(header, vocabulary, "unknown_token_id")
    backend = tokenizers.Tokenizer(
        _bpe(
            header,
            vocabulary,
            merges_by_score(vocabulary, scores.decoded(), where),
            unk_token=None if unknown is None else vocabulary.tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = normalizers.Replace(" ", "▁")
    backend.normalizer = (
        normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if prefix else []),
        ]
    )
    return backend, True


def _bpe(
    header: GGUFHeader, vocabulary: Vocabulary, merges: list[tuple[str, str]], **options: object
) -> models.BPE:
    ids = {token: place for place, token in enumerate(vocabulary.tokens)}
    try:
        return models.BPE(vocab=ids, merges=merges, **options)
    except Exception as error:  # the library raises plain Exception
        raise ModelError(
            f"damaged: the vocabulary contradicts itself ({error})", where=str(header.path)
        ) from error


def _recognise_added_tokens(backend: tokenizers.Tokenizer, vocabulary: Vocabulary) -> None:
    # SentencePiece writes runs of spaces as user-defined tokens of "▁": they are in the text
    # only once it is normalized.
    added = [
        AddedToken(
            token,
            normalized=vocabulary.model == "llama" and not token.strip("▁"),
            special=kind in _SPECIAL_TYPES,
        )
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if token and (kind in _SPECIAL_TYPES or kind is TokenType.USER_DEFINED)
    ]
    backend.add_tokens(added)


def _add_ends(backend: tokenizers.Tokenizer, bos: int | None, eos: int | None) -> None:
    ends = {"bos": bos, "eos": eos}
    known = [
        {"id": name, "ids": [token], "tokens": [name]}
        for name, token in ends.items()
        if token is not None
    ]
    if known:
        before = ["bos"] if bos is not None else []
        after = ["eos"] if eos is not None else []
        backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after], special_tokens=known
        )


def _eos_ids(
    header: GGUFHeader, vocabulary: Vocabulary, special: frozenset[int]
) -> tuple[int, ...]:
    named = [vocabulary.eos_id, *(_token_id(header, vocabulary, key) for key in _END_KEYS)]
    by_text = [token for token in sorted(special) if vocabulary.tokens[token] in _END_TEXTS]
    return tuple(dict.fromkeys(token for token in (*named, *by_text) if token is not None))


def _chat_templates(header: GGUFHeader) -> dict[str, str]:
    templates = {"default": header.text("tokenizer.chat_template")}
    for name in header.texts("tokenizer.chat_templates") or ():
        templates[name] = header.text(f"tokenizer.chat_template.{name}")
    return {name: source for name, source in templates.items() if source}


def _token_id(header: GGUFHeader, vocabulary: Vocabulary, key: str) -> int | None:
    token = header.integer(f"tokenizer.ggml.{key}")
    # Converters write 0xFFFFFFFF for "none".
    return token if token is not None and token < len(vocabulary.tokens) else None


def _flag(header: GGUFHeader, key: str, *, default: bool) -> bool:
    value = header.metadata.get(f"tokenizer.ggml.{key}", default)
    if isinstance(value, bool):
        return value
    raise ModelError(f"damaged: tokenizer.ggml.{key} is not a truth value", where=str(header.path))
