"""The anatomy of the model in a GGUF file, from its header alone."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Final

from pilotage.catalog.anatomies.reading import anatomy_from_config
from pilotage.catalog.anatomy import Anatomy, StoredWeights
from pilotage.catalog.gguf import GGUFArray, GGUFHeader

_KEYS: Final = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
    "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "vocab_size": "vocab_size",
}
_FAMILIES: Final = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gemma3": "gemma3_text"}


def anatomy_from_gguf(header: GGUFHeader, name: str) -> Anatomy:
    """The anatomy of a GGUF model.

    What the family's shape implies is read from the metadata; what is stored, and in how many
    bits, is counted in the tensors.

    Raises:
        ModelError: A number is missing or impossible.
        UnsupportedModelError: The architecture is unknown.
    """
    family = header.text("general.architecture") or ""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    config: dict[str, Any] = {
        key: number
        for key, of in _KEYS.items()
        if (number := header.integer(f"{family}.{of}")) is not None
    }
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" not in config and isinstance(tokens, GGUFArray):
        config["vocab_size"] = len(tokens)
    config |= {
        "model_type": "mixtral"
        if family == "llama" and config.get("num_local_experts")
        else _FAMILIES.get(family, family),
        "num_experts": config.get("num_local_experts"),
        "tie_word_embeddings": "output.weight" not in tensors,
    }
    anatomy = anatomy_from_config(config, name)
    values, bits = Counter[str](), 0.0
    for tensor in header.tensors:
        values[tensor.type_name] += tensor.values
        bits += 8.0 * (tensor.nbytes or 0)
    total = values.total()
    return dataclasses.replace(
        anatomy,
        stored=StoredWeights(
            bits=bits / max(1, total),
            name=values.most_common(1)[0][0].lower() if values else "unknown",
            # The mean is over all tensors, embedding and norms included.
            quantised_parameters=anatomy.parameters,
        ),
    )
