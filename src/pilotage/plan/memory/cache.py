"""Bytes of the KV cache of one sequence on one rank."""

from __future__ import annotations

from pilotage.catalog.anatomy import Anatomy, Attention
from pilotage.plan.precision import Precision


def sequence_bytes(
    anatomy: Anatomy,
    precision: Precision,
    tokens: float,
    *,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
) -> float:
    """Bytes that a sequence of ``tokens`` tokens holds on one rank, images not counted.

    ``layers * kv_heads * (key dim + value dim) * bytes`` a token; sliding layers hold their window
    at most, MLA layers one latent of ``kv_lora_rank + rope dim`` (which every rank keeps whole),
    linear layers a state of constant size (16 or 32 bits, whatever the cache's format: 2 bytes
    are counted). A rank has ``ceil(kv_heads / ranks)`` heads: with more ranks than heads they are
    copied. Stages share the layers.
    """
    if anatomy.encoder:
        return 0.0
    total = 0.0
    for group in anatomy.layers:
        attention = group.attention
        match attention.kind:
            case "cross":
                continue
            case "linear":
                total += group.count * attention.state_values * 2.0 / tensor_parallel
            case _:
                seen = min(tokens, attention.window or tokens)
                total += group.count * seen * token_bytes(attention, precision, tensor_parallel)
    return total / pipeline_parallel


def token_bytes(attention: Attention, precision: Precision, tensor_parallel: int = 1) -> float:
    """Bytes that one token adds to one layer's cache on one rank; 0 for cross and linear ones."""
    match attention.kind:
        case "mla":
            return attention.latent_dim * precision.kv_bytes
        case "cross" | "linear":
            return 0.0
        case _:
            return _of_heads(attention, precision, tensor_parallel)


def image_bytes(
    anatomy: Anatomy, precision: Precision, *, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> float:
    """Bytes of cross-attention keys and values of one image on one rank; 0 without such layers.

    Every cross layer keeps keys and values for all tokens of all tiles: for Llama 3.2 Vision
    ``8 layers * 2 * 1024 * 4 * 1601 * 2 B = 200 MiB``.
    """
    vision = anatomy.vision
    if vision is None or vision.kind != "cross":
        return 0.0
    seen = vision.max_tiles * vision.fixed_tokens
    return (
        sum(
            group.count * seen * _of_heads(group.attention, precision, tensor_parallel)
            for group in anatomy.layers
            if group.attention.kind == "cross"
        )
        / pipeline_parallel
    )


def _of_heads(attention: Attention, precision: Precision, tensor_parallel: int) -> float:
    heads = -(-attention.kv_heads // tensor_parallel)
    return heads * (attention.head_dim + attention.value_head_dim) * precision.kv_bytes
