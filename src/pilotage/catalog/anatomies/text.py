"""Decoders of the Llama kind: RMS norms, rotary positions, gated feed-forward, dense or mixed.

One description covers Llama, Mistral, Qwen 2 to 3, Phi-3, Gemma 1 to 3, Mixtral, Qwen-MoE and
gpt-oss; what differs between them is a handful of flags, put together in `_TRAITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.grouping import Block, grouped
from pilotage.catalog.anatomies.parts import gated_mlp, grouped_attention, linear, mixture
from pilotage.catalog.anatomy import Anatomy, AttentionKind, FeedForward

_CONTEXT: Final = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


@dataclass(frozen=True, slots=True)
class Traits:
    """What sets a family apart.

    Attributes:
        qkv_bias: Biases of the input projections; None: the config's ``attention_bias``.
        out_bias: Bias of the output projection; None likewise.
        qk_norm: Whether queries and keys are normalised (one weight a head value each).
        norms: Norms of a layer, each of the model's width.
        sinks: Whether every head has a learned sink.
        tied: Whether head and embedding are one where the config does not say.
        mixed: Makes the feed-forward block of a mixture; None for dense families.
    """

    qkv_bias: bool | None = None
    out_bias: bool | None = None
    qk_norm: bool = False
    norms: int = 2
    sinks: bool = False
    tied: bool = False
    mixed: Callable[[Config, int], FeedForward] | None = None


def _mixtral(config: Config, hidden: int) -> FeedForward:
    width = config.integer("intermediate_size")
    experts = config.integer("num_local_experts", "num_experts")
    return mixture(
        intermediate=width,
        experts=experts,
        per_token=config.integer("num_experts_per_tok"),
        expert_parameters=3 * hidden * width,
        router=hidden * experts,
    )


def _qwen_moe(config: Config, hidden: int) -> FeedForward:
    width = config.integer("moe_intermediate_size")
    experts = config.integer("num_experts")
    shared = config.optional("shared_expert_intermediate_size")
    return mixture(
        intermediate=width,
        experts=experts,
        per_token=config.integer("num_experts_per_tok"),
        expert_parameters=3 * hidden * width,
        router=hidden * experts,
        # The shared expert's output is scaled by a gate of one value a token.
        shared=3 * hidden * shared + hidden if shared else 0,
    )


def _gpt_oss(config: Config, hidden: int) -> FeedForward:
    width = config.integer("intermediate_size")
    experts = config.integer("num_local_experts", "num_experts")
    return mixture(
        intermediate=width,
        experts=experts,
        per_token=config.integer("num_experts_per_tok", "experts_per_token"),
        expert_parameters=linear(hidden, 2 * width, bias=True) + linear(width, hidden, bias=True),
        router=linear(hidden, experts, bias=True),
    )


_TRAITS: Final[Mapping[str, Traits]] = MappingProxyType(
    {
        "llama": Traits(),
        "mistral": Traits(qkv_bias=False, out_bias=False),
        "ministral": Traits(qkv_bias=False, out_bias=False),
        "qwen2": Traits(qkv_bias=True, out_bias=False),
        "qwen3": Traits(qk_norm=True),
        "phi3": Traits(qkv_bias=False, out_bias=False),
        "gemma": Traits(tied=True),
        "gemma2": Traits(norms=4, tied=True),
        "gemma3_text": Traits(norms=4, qk_norm=True, tied=True),
        "smollm3": Traits(),
        "mixtral": Traits(qkv_bias=False, out_bias=False, mixed=_mixtral),
        "qwen2_moe": Traits(qkv_bias=True, out_bias=False, mixed=_qwen_moe),
        "qwen3_moe": Traits(qk_norm=True, mixed=_qwen_moe),
        "gpt_oss": Traits(sinks=True, qkv_bias=True, out_bias=True, mixed=_gpt_oss),
        "mllama_text_model": Traits(qkv_bias=False, out_bias=False),
        "qwen2_vl_text": Traits(qkv_bias=True, out_bias=False),
        "qwen2_5_vl_text": Traits(qkv_bias=True, out_bias=False),
        "qwen3_vl_text": Traits(qk_norm=True),
    }
)
FAMILIES: Final = frozenset(_TRAITS)


def read_text(config: Config, name: str, family: str | None = None) -> Anatomy:
    """A decoder of the Llama kind from its config."""
    family = family or config.family
    traits = _TRAITS[family]
    hidden = config.integer("hidden_size", "n_embd", "d_model")
    layers = config.integer("num_hidden_layers", "n_layer", "num_layers")
    vocab = config.integer("vocab_size")
    head = 0 if config.flag("tie_word_embeddings", default=traits.tied) else vocab * hidden
    return Anatomy(
        name=name,
        family=config.family or family,
        hidden=hidden,
        vocab=vocab,
        context_length=config.integer(*_CONTEXT),
        layers=grouped(_blocks(config, traits, hidden, layers)),
        embedding_parameters=vocab * hidden,
        head_parameters=head,
        other_parameters=hidden,
    )


def _blocks(config: Config, traits: Traits, hidden: int, layers: int) -> list[Block]:
    heads = config.integer("num_attention_heads", "n_head")
    kv_heads = config.integer("num_key_value_heads", default=heads)
    head_dim = config.integer("head_dim", default=max(1, hidden // heads))
    bias = config.flag("attention_bias", default=False)
    extra = (2 * head_dim if traits.qk_norm else 0) + (heads if traits.sinks else 0)
    kinds = layer_kinds(config, layers)
    window = config.optional("sliding_window")
    mlp_bias = config.flag("mlp_bias", default=False)
    dense = config.integers("mlp_only_layers")
    sparse_step = config.integer("decoder_sparse_step", default=1)
    blocks: list[Block] = []
    for layer in range(layers):
        kind: AttentionKind = kinds[layer]
        attention = grouped_attention(
            hidden,
            heads,
            kv_heads,
            head_dim,
            qkv_bias=bias if traits.qkv_bias is None else traits.qkv_bias,
            out_bias=bias if traits.out_bias is None else traits.out_bias,
            extra=extra,
            kind=kind,
            window=window if kind == "sliding" else None,
        )
        mixed = traits.mixed is not None and layer not in dense and (layer + 1) % sparse_step == 0
        block = (
            traits.mixed(config, hidden)
            if mixed and traits.mixed is not None
            else gated_mlp(hidden, config.integer("intermediate_size"), bias=mlp_bias)
        )
        blocks.append((attention, block, traits.norms * hidden))
    return blocks


def layer_kinds(config: Config, layers: int) -> tuple[AttentionKind, ...]:
    """Which layers slide: by ``layer_types``, by the pattern of older configs, or all or none."""
    words = config.words("layer_types")
    if len(words) == layers:
        return _kinds("sliding" in word for word in words)
    window = config.optional("sliding_window")
    if window is None or not config.flag("use_sliding_window", default=True):
        return _kinds([False] * layers)
    first = config.optional("max_window_layers", low=0)
    if first is not None:  # Qwen: the layers from this one on slide
        return _kinds(layer >= first for layer in range(layers))
    pattern = config.optional("sliding_window_pattern")
    if pattern is None and config.family == "gemma2":
        pattern = 2
    if pattern is not None:  # Gemma: every so many-th layer is full
        return _kinds((layer + 1) % pattern != 0 for layer in range(layers))
    return _kinds([True] * layers)


def _kinds(sliding: Iterable[bool]) -> tuple[AttentionKind, ...]:
    full: AttentionKind = "full"
    slides: AttentionKind = "sliding"
    return tuple(slides if one else full for one in sliding)
