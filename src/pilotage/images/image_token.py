"""The text that stands for an image in a model's prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.errors import ModelError

_KNOWN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mllama": "<|image|>",
        "llava": "<image>",
        "idefics3": "<image>",
        "smolvlm": "<image>",
        "qwen2_vl": "<|image_pad|>",
        "qwen2_5_vl": "<|image_pad|>",
    }
)


def image_token_id(config: Mapping[str, Any]) -> int | None:
    """The id that ``config.json`` gives to the image token."""
    for key in ("image_token_id", "image_token_index"):
        if type(found := config.get(key)) is int:
            return found
    return None


def image_token_text(folder: Path, config: Mapping[str, Any]) -> str:
    """The image token as text: what the tokenizer's files say, or the family's own.

    Raises:
        ModelError: Neither names one.
    """
    tokenizer = _object(folder / "tokenizer_config.json")
    named = tokenizer.get("image_token")
    if isinstance(named, dict):
        named = named.get("content")
    if isinstance(named, str) and named:
        return named
    number = image_token_id(config)
    added = tokenizer.get("added_tokens_decoder")
    if number is not None and isinstance(added, dict):
        entry = added.get(str(number))
        if isinstance(entry, dict) and isinstance(text := entry.get("content"), str):
            return text
    listed = _object(folder / "tokenizer.json").get("added_tokens")
    if number is not None and isinstance(listed, list):
        for entry in listed:
            if isinstance(entry, dict) and entry.get("id") == number:
                return str(entry.get("content"))
    try:
        return _KNOWN[str(config.get("model_type"))]
    except KeyError:
        raise ModelError(
            "nothing says which token stands for an image",
            where=str(folder),
            hint="config.json should have image_token_id, and tokenizer.json that token",
        ) from None


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is missing or none: the tokenizer says what is wrong."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
