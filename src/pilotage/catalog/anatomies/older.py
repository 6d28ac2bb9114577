"""Decoders from before Llama: GPT-2, GPT-J, GPT-NeoX, OPT and Falcon, with their own key names."""

from __future__ import annotations

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.grouping import grouped
from pilotage.catalog.anatomies.parts import grouped_attention, plain_mlp
from pilotage.catalog.anatomy import Anatomy, Attention, FeedForward


def read_gptj(config: Config, name: str) -> Anatomy:
    """GPT-J: no biases in attention, one norm a layer, a head with a bias."""
    hidden, heads = config.integer("n_embd"), config.integer("n_head")
    vocab = config.integer("vocab_size")
    inner = config.optional("n_inner") or 4 * hidden
    return _anatomy(
        config,
        name,
        hidden=hidden,
        layers=config.integer("n_layer"),
        attention=grouped_attention(hidden, heads, heads, hidden // heads),
        block=plain_mlp(hidden, inner),
        norms=2 * hidden,
        embedding=vocab * hidden,
        head=vocab * hidden + vocab,
        context=config.integer("n_positions"),
    )


def read_gpt2(config: Config, name: str) -> Anatomy:
    """GPT-2: learned positions, biases everywhere, head tied to the embedding."""
    hidden, heads = config.integer("n_embd"), config.integer("n_head")
    context = config.integer("n_positions", "n_ctx")
    inner = config.optional("n_inner") or 4 * hidden
    return _anatomy(
        config,
        name,
        hidden=hidden,
        layers=config.integer("n_layer"),
        attention=grouped_attention(
            hidden, heads, heads, hidden // heads, qkv_bias=True, out_bias=True
        ),
        block=plain_mlp(hidden, inner),
        norms=4 * hidden,
        embedding=(config.integer("vocab_size") + context) * hidden,
        head=0,
        context=context,
    )


def read_gpt_neox(config: Config, name: str) -> Anatomy:
    """GPT-NeoX and Pythia: biases everywhere, rotary positions, a head of its own."""
    hidden = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    vocab = config.integer("vocab_size")
    bias = config.flag("attention_bias", default=True)
    tied = config.flag("tie_word_embeddings", default=False)
    return _anatomy(
        config,
        name,
        hidden=hidden,
        layers=config.integer("num_hidden_layers"),
        attention=grouped_attention(
            hidden, heads, heads, hidden // heads, qkv_bias=bias, out_bias=bias
        ),
        block=plain_mlp(hidden, config.integer("intermediate_size")),
        norms=4 * hidden,
        embedding=vocab * hidden,
        head=0 if tied else vocab * hidden,
        context=config.integer("max_position_embeddings"),
    )


def read_opt(config: Config, name: str) -> Anatomy:
    """OPT: learned positions with an offset of two; the smallest ones embed in another width."""
    hidden = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    vocab = config.integer("vocab_size")
    context = config.integer("max_position_embeddings")
    width = config.integer("word_embed_proj_dim", default=hidden)
    projections = 0 if width == hidden else 2 * width * hidden
    final_norm = config.flag("do_layer_norm_before", default=True) and not config.flag(
        "_remove_final_layer_norm", default=False
    )
    return _anatomy(
        config,
        name,
        hidden=hidden,
        layers=config.integer("num_hidden_layers"),
        attention=grouped_attention(
            hidden, heads, heads, hidden // heads, qkv_bias=True, out_bias=True
        ),
        block=plain_mlp(hidden, config.integer("ffn_dim")),
        norms=4 * hidden,
        embedding=vocab * width + (context + 2) * hidden,
        head=0,
        context=context,
        other=projections + (2 * hidden if final_norm else 0),
    )


def read_falcon(config: Config, name: str) -> Anatomy:
    """Falcon: attention and feed-forward side by side; one key/value head, or groups of them."""
    hidden = config.integer("hidden_size", "n_embed")
    heads = config.integer("num_attention_heads", "n_head")
    vocab = config.integer("vocab_size")
    bias = config.flag("bias", default=False)
    new = config.flag("new_decoder_architecture", default=False)
    parallel = config.flag("parallel_attn", default=True)
    if new:
        kv_heads = config.integer("num_kv_heads", "n_head_kv", default=heads)
    else:
        kv_heads = 1 if config.flag("multi_query", default=True) else heads
    two_norms = config.integer("num_ln_in_parallel_attn", default=2) == 2 if new else not parallel
    inner = config.integer("ffn_hidden_size", default=4 * hidden)
    tied = config.flag("tie_word_embeddings", default=True)
    return _anatomy(
        config,
        name,
        hidden=hidden,
        layers=config.integer("num_hidden_layers", "n_layer"),
        attention=grouped_attention(
            hidden, heads, kv_heads, hidden // heads, qkv_bias=bias, out_bias=bias
        ),
        block=plain_mlp(hidden, inner, bias=bias),
        norms=(4 if two_norms else 2) * hidden,
        embedding=vocab * hidden,
        head=0 if tied else vocab * hidden,
        context=config.integer("max_position_embeddings", default=2048),
    )


def _anatomy(
    config: Config,
    name: str,
    *,
    hidden: int,
    layers: int,
    attention: Attention,
    block: FeedForward,
    norms: int,
    embedding: int,
    head: int,
    context: int,
    other: int | None = None,
) -> Anatomy:
    return Anatomy(
        name=name,
        family=config.family,
        hidden=hidden,
        vocab=config.integer("vocab_size"),
        context_length=context,
        layers=grouped([(attention, block, norms)] * layers),
        embedding_parameters=embedding,
        head_parameters=head,
        other_parameters=2 * hidden if other is None else other,  # the final norm, with its bias
    )
