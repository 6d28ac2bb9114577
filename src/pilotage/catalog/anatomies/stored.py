"""How a model's weights are stored, from the ``quantization_config`` of its config."""

from __future__ import annotations

from typing import Any

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomy import Anatomy, StoredWeights

_DTYPES = {"bfloat16": ("bf16", 16.0), "float16": ("fp16", 16.0), "float32": ("fp32", 32.0)}


def stored_weights(config: Config, anatomy: Anatomy) -> StoredWeights | None:
    """What the config says; None when it says nothing.

    A group of g weights has one 16-bit scale and, where zero points are kept, one more number of
    the weights' own bits: ``bits + (16 + zero bits) / g`` a weight. Embedding, head, norms and the
    vision tower stay as they were.
    """
    quantised = config.section("quantization_config")
    if quantised is None:
        text = config.section("text_config")
        raw = config.data.get("dtype") or config.data.get("torch_dtype")
        if raw is None and text is not None:
            raw = text.data.get("dtype") or text.data.get("torch_dtype")
        known = _DTYPES.get(str(raw))
        return known and StoredWeights(bits=known[1], name=known[0], quantised_parameters=0)
    blocks = sum(
        group.count * (group.attention.parameters + group.feed_forward.parameters)
        for group in anatomy.layers
    )
    return _of_method(quantised, anatomy, blocks)


def _of_method(quantised: Config, anatomy: Anatomy, blocks: int) -> StoredWeights | None:
    method = str(quantised.data.get("quant_method", "")).lower()
    stored: tuple[float, str, int] | None = None
    if method in ("awq", "gptq"):
        bits, group = quantised.integer("bits", "w_bit", default=4), _group(quantised.data)
        stored = bits + (16 + bits) / group, method, blocks
    elif method == "mxfp4":  # 4 bits and an 8-bit scale for 32 weights; only the experts
        experts = sum(
            layer.count * layer.feed_forward.experts * layer.feed_forward.expert_parameters
            for layer in anatomy.layers
        )
        stored = 4.25, "mxfp4", experts
    elif method in ("fp8", "fbgemm_fp8"):
        stored = 8.0, "fp8", blocks
    elif method in ("compressed-tensors", "modelopt"):
        narrow = _narrowest(quantised.data)
        stored = float(narrow), {4: "int4", 8: "fp8"}.get(narrow, f"int{narrow}"), blocks
    elif method == "bitsandbytes":  # 4-bit blocks of 64 weights carry an absolute maximum each
        four = quantised.flag("load_in_4bit", default=False)
        stored = 4.5 if four else 8.0, method, blocks
    return stored and StoredWeights(bits=stored[0], name=stored[1], quantised_parameters=stored[2])


def _group(data: Any) -> int:
    size = data.get("group_size", data.get("q_group_size", 128))
    return size if isinstance(size, int) and size > 0 else 128


def _narrowest(data: Any) -> int:
    """The bits of the weights, wherever such a config keeps them."""
    found: list[int] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            bits = value.get("num_bits")
            if isinstance(bits, int):
                found.append(bits)
            for inner in value.values():
                look(inner)

    look(data)
    return min(found, default=8)
