"""Tokenizers from model folders as Hugging Face and OpenVINO exporters write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import tokenizers

from pilotage.errors import ModelError, UnsupportedModelError
from pilotage.tokens.parts import TokenizerParts
from pilotage.tokens.token_bytes import byte_level_piece, sentencepiece_piece, wordpiece_piece

_MAX_BYTES: Final = 256 << 20
_NAMED: Final = ("bos_token", "eos_token", "unk_token", "pad_token")
_SENTENCEPIECE_STEPS: Final = frozenset({"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"})


def parts_from_folder(folder: Path) -> TokenizerParts:
    """The tokenizer of the model folder `folder`.

    ``tokenizer.json`` is required. BOS, EOS and the chat template come from
    ``tokenizer_config.json``, ``generation_config.json``, ``config.json`` and
    ``chat_template.jinja``, as far as they are there.

    Raises:
        ModelError: A file is missing or damaged.
        UnsupportedModelError: The tokenizer decodes in a way that is unknown here.
    """
    path = folder / "tokenizer.json"
    backend = _backend(path)
    config, generation, model = (
        _json_object(folder / name)
        for name in ("tokenizer_config.json", "generation_config.json", "config.json")
    )
    piece_of, strips = _decoding(backend, path)
    added = backend.get_added_tokens_decoder()
    by_text = backend.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max((*by_text.values(), *added), default=-1) + 1)
    for piece, token in by_text.items():
        pieces[token] = piece_of(piece)
    for token, added_token in added.items():
        pieces[token] = added_token.content.encode()
    names = {name: text for name in _NAMED if (text := _text(config.get(name)))}
    bos_id = backend.token_to_id(names["bos_token"]) if "bos_token" in names else None
    return TokenizerParts(
        backend=backend,
        pieces=tuple(pieces),
        special=frozenset(token for token, kind in added.items() if kind.special),
        strips_leading_space=strips,
        bos_id=bos_id if bos_id is not None else next(_ids(model.get("bos_token_id")), None),
        eos_ids=tuple(
            dict.fromkeys(
                token
                for token in (
                    *_ids(backend.token_to_id(names.get("eos_token", ""))),
                    *_ids(generation.get("eos_token_id")),
                    *_ids(model.get("eos_token_id")),
                )
                if token < len(pieces)
            )
        ),
        special_names=names,
        chat_templates=_chat_templates(folder, config),
    )


def _backend(path: Path) -> tokenizers.Tokenizer:
    raw = _read(path)
    if raw is None:
        raise ModelError(
            "the folder holds no tokenizer.json",
            where=str(path.parent),
            hint="Export the model again with its tokenizer, or name a GGUF file itself",
        )
    try:
        backend = tokenizers.Tokenizer.from_str(raw)
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"damaged: {str(error)[:200]}", where=str(path)) from error
    # What the training run or the exporter cut and padded to must not cut a prompt.
    backend.no_truncation()
    backend.no_padding()
    return backend


def _decoding(backend: tokenizers.Tokenizer, path: Path) -> tuple[Callable[[str], bytes], bool]:
    """What makes bytes of the vocabulary's tokens, and whether decoding drops a leading space."""
    decoder = backend.decoder
    state = json.loads(decoder.__getstate__()) if decoder is not None else {"type": "none"}
    steps = list(_flat(state))
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return byte_level_piece, False
    if kinds == ["WordPiece"]:
        return partial(wordpiece_piece, prefix=str(steps[0].get("prefix", "##"))), True
    if not set(kinds) <= _SENTENCEPIECE_STEPS:
        raise UnsupportedModelError(
            f"a tokenizer that decodes by {' + '.join(kinds)}, which Pilotage cannot stream",
            where=str(path),
            hint="Byte-level BPE, SentencePiece and WordPiece work; or use an engine that "
            "tokenizes by itself, such as llama-server or vLLM",
        )
    strips = any(
        (step["type"] == "Strip" and step.get("start", 0) > 0)
        or (step["type"] == "Metaspace" and step.get("prepend_scheme") != "never")
        for step in steps
    )
    return sentencepiece_piece, strips


def _flat(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if state["type"] == "Sequence":
        for step in state["decoders"]:
            yield from _flat(step)
    else:
        yield state


def _chat_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    found = config.get("chat_template") or _json_object(folder / "chat_template.json").get(
        "chat_template"
    )
    templates: dict[str, str] = {}
    if isinstance(found, str):
        templates["default"] = found
    elif isinstance(found, list):
        for entry in found:
            if isinstance(entry, dict) and isinstance(entry.get("template"), str):
                templates[str(entry.get("name"))] = entry["template"]
    # The file of its own is the newer form, and wins where both are there.
    if (own := _read(folder / "chat_template.jinja")) is not None:
        templates["default"] = own
    return templates


def _ids(value: object) -> Iterator[int]:
    for token in value if isinstance(value, list) else [value]:
        if type(token) is int and token >= 0:
            yield token


def _text(token: object) -> str | None:
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json_object(path: Path) -> dict[str, Any]:
    raw = _read(path)
    if raw is None:
        return {}
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"damaged: not JSON ({str(error)[:100]})", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("damaged: not a JSON object", where=str(path))
    return data


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > _MAX_BYTES:
        raise ModelError(f"more than {_MAX_BYTES:,} bytes", where=str(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("damaged: not UTF-8", where=str(path)) from error
