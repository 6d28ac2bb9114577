"""Decoders with compressed or linear attention: DeepSeek V2/V3 (MLA) and Qwen3-Next (deltanet)."""

from __future__ import annotations

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.grouping import Block, grouped
from pilotage.catalog.anatomies.parts import gated_mlp, grouped_attention, linear, mixture
from pilotage.catalog.anatomy import Anatomy, Attention


def read_deepseek(config: Config, name: str) -> Anatomy:
    """DeepSeek V2 and V3.

    Only a latent of ``kv_lora_rank`` values and ``qk_rope_head_dim`` rotary ones is cached a token
    and layer (DeepSeek-V2, arXiv 2405.04434, section 2.1). The first ``first_k_dense_replace``
    layers are dense. The multi-token-prediction layers that some files carry are not counted: they
    take no part in plain generation.
    """
    hidden = config.integer("hidden_size")
    vocab = config.integer("vocab_size")
    layers = config.integer("num_hidden_layers")
    attention = _mla(config, hidden)
    dense = gated_mlp(hidden, config.integer("intermediate_size"))
    width = config.integer("moe_intermediate_size")
    experts = config.integer("n_routed_experts")
    shared = config.integer("n_shared_experts", default=0, low=0)
    mixed = mixture(
        intermediate=width,
        experts=experts,
        per_token=config.integer("num_experts_per_tok"),
        expert_parameters=3 * hidden * width,
        router=hidden * experts,
        shared=3 * hidden * width * shared,
    )
    first = config.integer("first_k_dense_replace", default=0, low=0)
    blocks: list[Block] = [
        (attention, dense if layer < first else mixed, 2 * hidden) for layer in range(layers)
    ]
    tied = config.flag("tie_word_embeddings", default=False)
    return Anatomy(
        name=name,
        family=config.family,
        hidden=hidden,
        vocab=vocab,
        context_length=config.integer("max_position_embeddings"),
        layers=grouped(blocks),
        embedding_parameters=vocab * hidden,
        head_parameters=0 if tied else vocab * hidden,
        other_parameters=hidden,
    )


def _mla(config: Config, hidden: int) -> Attention:
    heads = config.integer("num_attention_heads")
    nope = config.integer("qk_nope_head_dim")
    rope = config.integer("qk_rope_head_dim")
    value = config.integer("v_head_dim")
    rank = config.integer("kv_lora_rank")
    bias = config.flag("attention_bias", default=False)
    query_rank = config.optional("q_lora_rank")
    queries = (
        linear(hidden, heads * (nope + rope))
        if query_rank is None
        else linear(hidden, query_rank, bias=bias)
        + query_rank
        + linear(query_rank, heads * (nope + rope))
    )
    parameters = (
        queries
        + linear(hidden, rank + rope, bias=bias)
        + rank
        + linear(rank, heads * (nope + value))
        + linear(heads * value, hidden, bias=bias)
    )
    return Attention(
        kind="mla",
        heads=heads,
        kv_heads=heads,
        head_dim=nope + rope,
        value_head_dim=value,
        latent_dim=rank + rope,
        parameters=parameters,
    )


def read_qwen3_next(config: Config, name: str) -> Anatomy:
    """Qwen3-Next: three layers of gated deltanet for each layer of gated full attention.

    A deltanet layer keeps, a sequence, a matrix of key by value values for each value head and the
    last inputs of its convolution; nothing of it grows with the length.
    """
    hidden = config.integer("hidden_size")
    vocab = config.integer("vocab_size")
    layers = config.integer("num_hidden_layers")
    kinds = config.words("layer_types")
    interval = config.integer("full_attention_interval", default=4)
    full, delta = _gated_full(config, hidden), _deltanet(config, hidden)
    width = config.integer("moe_intermediate_size")
    experts = config.integer("num_experts")
    shared = config.integer("shared_expert_intermediate_size", default=0, low=0)
    block = mixture(
        intermediate=width,
        experts=experts,
        per_token=config.integer("num_experts_per_tok"),
        expert_parameters=3 * hidden * width,
        router=hidden * experts,
        shared=3 * hidden * shared + hidden if shared else 0,
    )
    blocks: list[Block] = []
    for layer in range(layers):
        is_full = (
            kinds[layer] == "full_attention"
            if len(kinds) == layers
            else (layer + 1) % interval == 0
        )
        blocks.append((full if is_full else delta, block, 2 * hidden))
    tied = config.flag("tie_word_embeddings", default=False)
    return Anatomy(
        name=name,
        family=config.family,
        hidden=hidden,
        vocab=vocab,
        context_length=config.integer("max_position_embeddings"),
        layers=grouped(blocks),
        embedding_parameters=vocab * hidden,
        head_parameters=0 if tied else vocab * hidden,
        other_parameters=hidden,
    )


def _gated_full(config: Config, hidden: int) -> Attention:
    heads = config.integer("num_attention_heads")
    head_dim = config.integer("head_dim", default=max(1, hidden // heads))
    # The query projection also makes the output's gate: twice as wide.
    return grouped_attention(
        hidden,
        heads,
        config.integer("num_key_value_heads"),
        head_dim,
        extra=2 * head_dim + hidden * heads * head_dim,
    )


def _deltanet(config: Config, hidden: int) -> Attention:
    key_heads = config.integer("linear_num_key_heads")
    value_heads = config.integer("linear_num_value_heads")
    key_dim = config.integer("linear_key_head_dim")
    value_dim = config.integer("linear_value_head_dim")
    kernel = config.integer("linear_conv_kernel_dim", default=4)
    keys, values = key_heads * key_dim, value_heads * value_dim
    channels = 2 * keys + values
    parameters = (
        linear(hidden, 2 * keys + 2 * values)  # queries, keys, values and the output's gate
        + linear(hidden, 2 * value_heads)
        + channels * kernel
        + 2 * value_heads
        + value_dim
        + linear(values, hidden)
    )
    return Attention(
        kind="linear",
        heads=value_heads,
        kv_heads=value_heads,
        head_dim=key_dim,
        value_head_dim=value_dim,
        state_values=value_heads * key_dim * value_dim + channels * (kernel - 1),
        parameters=parameters,
    )
