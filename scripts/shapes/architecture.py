"""The empty model: a Llama 3.2 Vision small enough for two cores, and its starting weights."""

from __future__ import annotations

import math

import torch
from scripts.shapes.conversation import BEGIN, END_OF_TURN, PADDING, SPECIAL_TOKENS, VOCABULARY
from scripts.shapes.eyes import MAX_TILES, PATCH, TILE
from transformers import MllamaConfig, MllamaForConditionalGeneration

from pilotage.images.mllama import TileGrid

_ALIKE = 0.8
"""Gain of the first query and key weights of the eyes."""


def make_config() -> MllamaConfig:
    """The shape of the model: 128 wide, four layers for pictures, four for words."""
    begin, end, padding = (SPECIAL_TOKENS.index(t) for t in (BEGIN, END_OF_TURN, PADDING))
    vision = {
        "hidden_size": 128,
        "num_hidden_layers": 3,
        "num_global_layers": 1,
        "attention_heads": 4,
        "intermediate_size": 256,
        "intermediate_layers_indices": [0, 2],
        "vision_output_dim": 128 * 3,
        "image_size": TILE,
        "patch_size": PATCH,
        "max_num_tiles": MAX_TILES,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        "initializer_range": 0.06,
    }
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "cross_attention_layers": [1, 3],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 256,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": False,
        "initializer_range": 0.06,
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": padding,
    }
    return MllamaConfig(vision_config=vision, text_config=text, image_token_index=VOCABULARY)


def make_model(seed: int) -> MllamaForConditionalGeneration:
    """Starting weights from `seed`.

    Mllama's gates start at 0 because Llama 3.2 grew its eyes after its words; here both learn at
    once, so every gate starts open, and positions start as loud as patches.
    """
    torch.manual_seed(seed)
    model = MllamaForConditionalGeneration(make_config())
    vision = model.model.vision_model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("_gate", ".gate_attn", ".gate_ffn")):
                parameter.fill_(math.pi / 4)
            if name.endswith(("cross_attn.q_norm.weight", "cross_attn.k_norm.weight")):
                # At 1 no weighting of a hundred patches could be sharp: q . k is at most sqrt(32).
                parameter.fill_(1.6)
        for ratios in (vision.pre_tile_positional_embedding, vision.post_tile_positional_embedding):
            ratios.gate.fill_(0.5)
            ratios.embedding.weight.normal_(std=0.2)
        positions = vision.gated_positional_embedding
        positions.gate.fill_(1.5)
        positions.embedding.normal_(std=0.2)
        positions.tile_embedding.weight.copy_(canvas_positions(positions.hidden_size).flatten(1))
        for encoder in (vision.transformer, vision.global_transformer):
            for layer in encoder.layers:
                layer.self_attn.q_proj.weight.copy_(_projection(layer.self_attn.q_proj.weight))
                layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    return model


def _projection(like: torch.Tensor) -> torch.Tensor:
    """Orthogonal rows, so that equal query and key weights measure how alike two patches are.

    Patches then look at their neighbours from the first step. Source: Trockman and Kolter,
    "Mimetic Initialization of Self-Attention Layers", 2023.
    """
    return torch.nn.init.orthogonal_(torch.empty_like(like), gain=_ALIKE)


def canvas_positions(width: int) -> torch.Tensor:
    """Where each patch is on its canvas, as waves across and down: neighbours are alike.

    Returns:
        (arrangements + 1, tiles, 1 + patches, `width`); an arrangement's number is its index, and
        the class token of a tile, the first of its patches, has 0.
    """
    side = TILE // PATCH
    waves = width // 4
    # From two patches to a canvas of four tiles and more.
    lengths = 4 * (40 / 4) ** (torch.arange(waves) / (waves - 1))
    grid = TileGrid(TILE, MAX_TILES)
    found = torch.zeros(len(grid.arrangements) + 1, MAX_TILES, 1 + side * side, width)
    for rows, columns in grid.arrangements:
        for tile in range(rows * columns):
            down = torch.arange(side) + side * (tile // columns)
            across = torch.arange(side) + side * (tile % columns)
            y, x = torch.meshgrid(down.float(), across.float(), indexing="ij")
            phases = [2 * math.pi * along.flatten()[:, None] / lengths for along in (x, y)]
            found[grid.number((rows, columns)), tile, 1:] = torch.cat(
                [wave(phase) for phase in phases for wave in (torch.sin, torch.cos)], dim=1
            )
    return found
