"""From a config to an anatomy: which family is read by whom."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog.anatomies import text
from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.encoders import read_bert, read_distilbert
from pilotage.catalog.anatomies.latent import read_deepseek, read_qwen3_next
from pilotage.catalog.anatomies.older import (
    read_falcon,
    read_gpt2,
    read_gpt_neox,
    read_gptj,
    read_opt,
)
from pilotage.catalog.anatomies.seeing import read_llava, read_mllama, read_qwen_vl
from pilotage.catalog.anatomies.stored import stored_weights
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import ModelError, UnsupportedModelError

_READERS: Final[Mapping[str, Callable[[Config, str], Anatomy]]] = MappingProxyType(
    {
        **dict.fromkeys(text.FAMILIES, text.read_text),
        "deepseek_v2": read_deepseek,
        "deepseek_v3": read_deepseek,
        "kimi_k2": read_deepseek,
        "qwen3_next": read_qwen3_next,
        "gptj": read_gptj,
        "gpt2": read_gpt2,
        "gpt_neox": read_gpt_neox,
        "opt": read_opt,
        "falcon": read_falcon,
        "RefinedWeb": read_falcon,
        "RefinedWebModel": read_falcon,
        "mllama": read_mllama,
        "qwen2_vl": read_qwen_vl,
        "qwen2_5_vl": read_qwen_vl,
        "llava": read_llava,
        "bert": read_bert,
        "roberta": read_bert,
        "xlm-roberta": read_bert,
        "mpnet": read_bert,
        "distilbert": read_distilbert,
    }
)
FAMILIES: Final = tuple(sorted(_READERS))
"""The values of ``model_type`` that can be read."""


def anatomy_from_config(data: Mapping[str, Any], name: str) -> Anatomy:
    """The anatomy of the model that a ``config.json`` describes.

    Args:
        data: The decoded file.
        name: What the model is called, for output and errors.

    Raises:
        UnsupportedModelError: An unknown family; the hint says how to give its numbers by hand.
        ModelError: A number is missing or impossible.
    """
    config = Config(data, name)
    family = config.family
    if not family:
        raise ModelError(
            "the config names no model_type",
            where=name,
            hint='Add one, such as "model_type": "llama", to a copy and plan with that file',
        )
    read = _READERS.get(family)
    if read is None:
        near = difflib.get_close_matches(family, FAMILIES, n=1)
        raise UnsupportedModelError(
            f'unknown architecture "{family[:60]}"',
            where=name,
            hint=(f'Did you mean "{near[0]}"? ' if near else "")
            + "Write a config.json with the model_type of the family it is built like (llama for "
            "most dense decoders, mixtral for mixtures) and hidden_size, num_hidden_layers, "
            "num_attention_heads, num_key_value_heads, intermediate_size, vocab_size and "
            "max_position_embeddings, and plan with that file",
        )
    anatomy = read(config, name)
    return dataclasses.replace(anatomy, stored=stored_weights(config, anatomy))
