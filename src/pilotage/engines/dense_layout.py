"""How GGUF files and Hugging Face folders name and lay out the same tensors.

For the families that differ from one another in little more than biases: Llama, Qwen2, Qwen3.
Source: ``convert_hf_to_gguf.py`` and ``gguf-py/gguf/tensor_mapping.py`` of llama.cpp, read
2026-11, whose inverse this is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog import GGUFHeader
from pilotage.errors import UnsupportedModelError

FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
)
"""Architectures as GGUF names them, and the class of `transformers` that has the same layers."""

PERMUTED: Final = frozenset({"llama"})
"""Families whose query and key rows the GGUF holds in the order of llama.cpp's rotary embedding
(pairs side by side) instead of Hugging Face's (halves)."""

_FIXED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
    }
)
_LAYER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
)
_NAME: Final = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")


def dense_name(name: str, where: str) -> str | None:
    """The tensor's name in a Hugging Face folder; None for one that is made anew there.

    Raises:
        UnsupportedModelError: These families have no such tensor.
    """
    if name == "rope_freqs.weight":
        return None  # follows from the config's rope_scaling
    found = _NAME.fullmatch(name)
    if found is not None:
        layer, part, kind = found.groups()
        if layer is None and part in _FIXED:
            return f"{_FIXED[part]}.{kind}"
        if layer is not None and part in _LAYER:
            return f"model.layers.{int(layer)}.{_LAYER[part]}.{kind}"
    raise UnsupportedModelError(
        f"holds a tensor {name[:80]!r}, which this conversion does not know",
        where=where,
        hint="Take the model's safetensors folder, or the engine llamacpp",
    )


def dense_config(header: GGUFHeader, *, dtype: str, vocab_size: int) -> dict[str, Any]:
    """The ``config.json`` of the model in a GGUF file.

    Raises:
        UnsupportedModelError: Its architecture is none of `FAMILIES`, or its rotary embedding is
            scaled in a way that its metadata does not tell in full.
        ModelError: A number is missing.
    """
    where = str(header.path)
    family = header.text("general.architecture") or ""
    if family not in FAMILIES:
        raise UnsupportedModelError(
            f'no conversion of the architecture "{family}" to safetensors',
            where=where,
            hint=f"It is there for {', '.join(FAMILIES)}; take the model's safetensors folder, or "
            "the engine llamacpp",
        )
    names = {tensor.name for tensor in header.tensors}
    if "rope_freqs.weight" in names or header.text(f"{family}.rope.scaling.type"):
        raise UnsupportedModelError(
            "its rotary embedding is scaled, which a GGUF does not describe in full",
            where=where,
            hint="Take the model's safetensors folder, or the engine llamacpp",
        )

    def number(key: str) -> int | None:
        return header.integer(f"{family}.{key}")

    hidden, heads = number("embedding_length"), number("attention.head_count")
    if not hidden or not heads:
        raise UnsupportedModelError("its header lacks the number of heads", where=where)
    config: dict[str, Any] = {
        "architectures": [FAMILIES[family]],
        "model_type": family,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv") or heads,
        "head_dim": number("attention.key_length") or hidden // heads,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": header.metadata.get(f"{family}.attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": header.metadata.get(f"{family}.rope.freq_base", 10_000.0),
        "vocab_size": vocab_size,
        "tie_word_embeddings": "output.weight" not in names,
        "bos_token_id": header.integer("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.integer("tokenizer.ggml.eos_token_id"),
        "torch_dtype": dtype,
        "use_cache": True,
    }
    if family == "llama":
        config |= {"attention_bias": "blk.0.attn_q.bias" in names, "mlp_bias": False}
    return config
