"""Models that see: Llama 3.2 Vision (cross-attention), Qwen-VL and LLaVA (images as a prefix)."""

from __future__ import annotations

import dataclasses

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.grouping import grouped
from pilotage.catalog.anatomies.parts import gated_mlp, grouped_attention, linear
from pilotage.catalog.anatomies.text import read_text
from pilotage.catalog.anatomy import Anatomy, Vision
from pilotage.errors import ModelError


def read_mllama(config: Config, name: str) -> Anatomy:
    """Llama 3.2 Vision: some text layers look at the image instead of at the text.

    The embedding has eight rows more than the head: the image token and spare ones.
    """
    text = _section(config, "text_config")
    hidden, vocab = text.integer("hidden_size"), text.integer("vocab_size")
    layers = text.integer("num_hidden_layers")
    crossing = set(text.integers("cross_attention_layers"))
    plain = read_text(text, name, "mllama_text_model")
    [own] = plain.layers
    heads = text.integer("num_attention_heads")
    head_dim = hidden // heads
    cross = grouped_attention(
        hidden,
        heads,
        text.integer("num_key_value_heads"),
        head_dim,
        extra=2 * head_dim + 2,  # norms of queries and keys; a gate each for attention and MLP
        kind="cross",
    )
    block = gated_mlp(hidden, text.integer("intermediate_size"))
    return dataclasses.replace(
        plain,
        family=config.family,
        layers=grouped(
            (cross if layer in crossing else own.attention, block, 2 * hidden)
            for layer in range(layers)
        ),
        embedding_parameters=(vocab + 8) * hidden,
        vision=_mllama_vision(_section(config, "vision_config"), hidden),
    )


def _mllama_vision(vision: Config, text_hidden: int) -> Vision:
    width = vision.integer("hidden_size")
    inner = vision.integer("intermediate_size")
    tile, patch = vision.integer("image_size"), vision.integer("patch_size")
    tiles = vision.integer("max_num_tiles")
    # A row of embeddings for each shape that tiles can be laid out in, and one for padding.
    shapes = vision.data.get("supported_aspect_ratios")
    ratios = 1 + (
        len(shapes)
        if isinstance(shapes, list) and shapes
        else vision.integer("max_aspect_ratio_id", default=8)
    )
    depth = vision.integer("num_hidden_layers")
    after = vision.integer("num_global_layers", default=0, low=0)
    patches = (tile // patch) ** 2 + 1
    block = 4 * width * width + linear(width, inner, bias=True) + linear(inner, width, bias=True)
    blocks = (depth + after) * (block + 4 * width) + 2 * after
    positions = patches * width + 1 + ratios * tiles * patches * width
    outputs = width * (1 + len(vision.integers("intermediate_layers_indices")))
    parameters = (
        vision.integer("num_channels", default=3) * patch * patch * width
        + width
        + positions
        + 2 * (ratios * tiles * width + 1)
        + 4 * width
        + blocks
        + linear(outputs, text_hidden, bias=True)
    )
    return Vision(
        kind="cross",
        parameters=parameters,
        layers=depth + after,
        hidden=width,
        intermediate=inner,
        patch=patch,
        tile=tile,
        max_tiles=tiles,
        fixed_tokens=patches,
    )


def read_qwen_vl(config: Config, name: str) -> Anatomy:
    """Qwen2-VL and Qwen2.5-VL: images of any size, two by two patches become one token."""
    # Older files keep the text model's numbers at the top level.
    text = config.section("text_config") or config
    family = "qwen2_5_vl" if "2_5" in config.family else "qwen2_vl"
    anatomy = read_text(text, name, f"{family}_text")
    vision = _section(config, "vision_config")
    new = family == "qwen2_5_vl"
    width = vision.integer("hidden_size") if new else vision.integer("embed_dim")
    inner = (
        vision.integer("intermediate_size")
        if new
        else width * vision.integer("mlp_ratio", default=4)
    )
    depth = vision.integer("depth")
    patch = vision.integer("patch_size", "spatial_patch_size", default=14)
    merge = vision.integer("spatial_merge_size", default=2)
    frames = vision.integer("temporal_patch_size", default=2)
    merged = width * merge * merge
    attention = linear(width, 3 * width, bias=True) + linear(width, width, bias=True)
    if new:
        mlp, norms, last = gated_mlp(width, inner, bias=True).parameters, 2 * width, width
    else:
        mlp = linear(width, inner, bias=True) + linear(inner, width, bias=True)
        norms, last = 4 * width, 2 * width
    parameters = (
        vision.integer("in_channels", "in_chans", default=3) * frames * patch * patch * width
        + depth * (attention + mlp + norms)
        + last
        + linear(merged, merged, bias=True)
        + linear(merged, anatomy.hidden, bias=True)
    )
    eyes = Vision(
        kind="prefix",
        parameters=parameters,
        layers=depth,
        hidden=width,
        intermediate=inner,
        patch=patch,
        merge=merge,
    )
    return dataclasses.replace(anatomy, family=config.family, vision=eyes)


def read_llava(config: Config, name: str) -> Anatomy:
    """LLaVA 1.5: the patches of a CLIP encoder, through two linear layers, as prompt tokens."""
    text = _section(config, "text_config")
    if not text.data.get("hidden_size"):
        text = Config({**_VICUNA_7B, **text.data}, text.where)
    anatomy = read_text(text, name)
    vision = _section(config, "vision_config")
    width = vision.integer("hidden_size")
    inner = vision.integer("intermediate_size")
    depth = vision.integer("num_hidden_layers")
    tile, patch = vision.integer("image_size"), vision.integer("patch_size")
    patches = (tile // patch) ** 2
    attention = 4 * linear(width, width, bias=True)
    mlp = linear(width, inner, bias=True) + linear(inner, width, bias=True)
    parameters = (
        3 * patch * patch * width
        + width
        + (patches + 1) * width
        + 4 * width
        + depth * (attention + mlp + 4 * width)
        + linear(width, anatomy.hidden, bias=True)
        + linear(anatomy.hidden, anatomy.hidden, bias=True)
    )
    eyes = Vision(
        kind="prefix",
        parameters=parameters,
        layers=depth,
        hidden=width,
        intermediate=inner,
        patch=patch,
        tile=tile,
        fixed_tokens=patches,
    )
    return dataclasses.replace(anatomy, family=config.family, vision=eyes)


_VICUNA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 4096,
    "vocab_size": 32064,
    "model_type": "llama",
}
"""Llama's defaults, which LLaVA's files leave out."""


def _section(config: Config, key: str) -> Config:
    section = config.section(key)
    if section is None:
        raise ModelError(f"the config has no {key}", where=config.where)
    return section
