"""What a model takes in the transformers engine, from its files alone (no torch).

The sum is ``weights + KV cache + image cache + activations + runtime``:

- weights: every value of the safetensors files at the width it runs with;
- KV cache: ``sequences x length x 2 x kv_heads x head_dim x width``, over the layers that attend
  to text; rows are allotted as they are needed, up to this;
- image cache (Mllama): keys and values of the cross-attention layers for all tiles of one image
  a sequence;
- activations: the widest moments of a step: the logits of the batch, and for the tokens of one
  prefill some copies of the residual stream and of the gated inner layer;
- runtime: libraries, and on CUDA its context and workspaces.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog import ModelShape
from pilotage.devices.slice import DeviceKind
from pilotage.engines.safetensors_header import StoredTensors
from pilotage.errors import ResourceError
from pilotage.units import format_size

BATCHED_TOKENS: Final[Mapping[str, int]] = MappingProxyType({"cpu": 512, "cuda": 4096})
"""Tokens a step may process when nothing says otherwise."""

MOST_SEQS: Final[Mapping[str, int]] = MappingProxyType({"cpu": 16, "cuda": 64})
"""Sequences at once when nothing says otherwise and memory allows."""

_WIDTHS: Final[Mapping[str, float]] = MappingProxyType({"fp32": 4, "bf16": 2, "fp16": 2})
_QUANTISED: Final[Mapping[str, float]] = MappingProxyType({"int8": 1.0, "int4": 0.56})
"""Bytes a value of bitsandbytes' matrices: 8 bits; 4 bits and a scale for each block of 64."""

_STORED: Final[Mapping[str, str]] = MappingProxyType({"F32": "fp32", "F16": "fp16", "BF16": "bf16"})
_RUNTIME: Final[Mapping[str, int]] = MappingProxyType({"cpu": 400 << 20, "cuda": 1 << 30})
_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_STREAMS: Final = 8
_INNER: Final = 3
_LOGITS: Final = 3 * 4


@dataclass(frozen=True, slots=True)
class MemorySum:
    """What a model takes on its device, in bytes, and for which limits.

    Attributes:
        dtype: What it computes with: ``fp32``, ``bf16``, ``fp16``.
        quantization: ``int8`` or ``int4`` for the matrices of its layers, or None.
        max_model_len: Longest sequence, tokens.
        max_num_seqs: Sequences at once.
        max_num_batched_tokens: Tokens a step.
        weights: All weights.
        kv_per_token: Keys and values of one token of one sequence.
        images_per_seq: Cross-attention keys and values of one sequence with an image.
        activations: Logits and hidden states of a step.
        runtime: Libraries and workspaces.
    """

    dtype: str
    quantization: str | None
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    weights: int
    kv_per_token: int
    images_per_seq: int
    activations: int
    runtime: int

    @property
    def kv(self) -> int:
        """The KV cache, full."""
        return self.kv_per_token * self.max_model_len * self.max_num_seqs

    @property
    def images(self) -> int:
        """The image cache, full."""
        return self.images_per_seq * self.max_num_seqs

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.images + self.activations + self.runtime

    def __str__(self) -> str:
        parts = [
            f"{_size(self.weights)} weights in {self.quantization or self.dtype}",
            f"{_size(self.kv)} KV cache for {self.max_num_seqs} x {self.max_model_len:,} tokens",
            *([f"{_size(self.images)} image cache"] if self.images else []),
            f"{_size(self.activations)} activations",
            f"{_size(self.runtime)} runtime",
        ]
        return f"{_size(self.total)} = {' + '.join(parts)}"


def plan_transformers(
    folder: Path,
    *,
    kind: DeviceKind,
    available: int,
    dtype: str = "auto",
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
) -> MemorySum:
    """Add up what a model takes, and refuse it when that is more than there is.

    Without ``max_num_seqs`` as many sequences are planned as fit, at most `MOST_SEQS`.

    Args:
        folder: The model's folder.
        kind: What it runs on.
        available: Bytes there are for it.
        dtype: The spec's ``model.dtype``; see `running_dtype`.
        max_model_len: Longest sequence; the model's own limit if not given.
        max_num_seqs: Sequences at once.
        max_num_batched_tokens: Tokens a step.

    Raises:
        ModelError: The files are damaged.
        ResourceError: It does not fit; says the sum, and what would fit.
    """
    stored = StoredTensors.read(folder)
    shape = ModelShape.from_config(folder)
    config = json.loads((folder / "config.json").read_bytes())
    length = min(max_model_len or shape.context_length, shape.context_length)
    run_as, quantization = running_dtype(dtype, kind, stored.main_type)

    def planned(length: int, seqs: int, quantization: str | None = quantization) -> MemorySum:
        width = int(_WIDTHS[run_as])
        batched = max_num_batched_tokens or BATCHED_TOKENS[kind]
        return MemorySum(
            dtype=run_as,
            quantization=quantization,
            max_model_len=length,
            max_num_seqs=seqs,
            max_num_batched_tokens=batched,
            weights=_weight_bytes(stored, run_as, quantization),
            kv_per_token=_kv_per_token(config, shape, width),
            images_per_seq=_images_per_seq(config, shape, width),
            activations=_activation_bytes(config, shape, width, seqs, min(batched, length)),
            runtime=_RUNTIME[kind],
        )

    most = max_num_seqs or MOST_SEQS[kind]
    wanted = planned(length, most)
    if wanted.total <= available:
        return wanted
    fewer = _largest(most, lambda seqs: planned(length, seqs).total <= available)
    if max_num_seqs is None and fewer:
        return planned(length, fewer)
    hints = []
    if fewer:
        hints.append(f"--max-num-seqs {fewer}")
    seqs = max_num_seqs or 1
    shorter = _largest(length, lambda tokens: planned(tokens, seqs).total <= available)
    if shorter >= 16:
        hints.append(f"--max-model-len {shorter}")
    for narrow in ("int8", "int4") if kind == "cuda" and quantization is None else ():
        if planned(length, seqs, narrow).total <= available:
            hints.append(f"--dtype {narrow}")
            break
    raise ResourceError(
        f"the model needs {planned(length, seqs)}; there are {_size(available)}",
        where=str(folder),
        hint=("It would fit with " + ", or with ".join(hints))
        if hints
        else "Take a smaller model, or a device with more memory",
    )


def running_dtype(dtype: str, kind: DeviceKind, stored: str) -> tuple[str, str | None]:
    """What a model computes with, and how its matrices are quantised.

    ``auto`` is 16 bits on CUDA (bf16; the engine takes fp16 where the device is too old for it).
    On a CPU it is fp32, or bf16 when the files are 16 bits and the CPU multiplies bf16 itself.
    Without such instructions PyTorch is slower in 16 bits than in fp32: on an AVX2 machine a
    1024 x 4096 layer takes 1.4 x as long in bf16 for 1 token and 7 x for 256 (torch 2.13).

    Args:
        dtype: The spec's ``model.dtype``.
        kind: What it runs on.
        stored: The safetensors type that holds most values.
    """
    if dtype in ("int8", "int4"):
        return "bf16", dtype
    if dtype in _WIDTHS:
        return dtype, None
    if kind == "cuda":
        return "bf16", None
    sixteen = _STORED.get(stored, "fp32") != "fp32"
    return ("bf16" if sixteen and cpu_has_bf16() else "fp32"), None


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 itself."""
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in facts.splitlines() if line.startswith("flags")), "").split()
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))


def _weight_bytes(stored: StoredTensors, dtype: str, quantization: str | None) -> int:
    floats = sum(count for kind, count in stored.values.items() if kind in _FLOATS)
    others = stored.nbytes - sum(
        count * {"F64": 8, "F32": 4}.get(kind, 2)
        for kind, count in stored.values.items()
        if kind in _FLOATS
    )
    total = floats * _WIDTHS[dtype] + others
    if quantization is not None:
        total -= stored.matrices * (_WIDTHS[dtype] - _QUANTISED[quantization])
    return int(total)


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    part = config.get("text_config")
    return part if isinstance(part, dict) else config


def _cross_layers(config: Mapping[str, Any]) -> int:
    listed = _text(config).get("cross_attention_layers")
    return len(listed) if isinstance(listed, list) else 0


def _kv_per_token(config: Mapping[str, Any], shape: ModelShape, width: int) -> int:
    text_layers = max(1, shape.layers - _cross_layers(config))
    return round(shape.kv_bytes_per_token(width) * text_layers / shape.layers)


def _images_per_seq(config: Mapping[str, Any], shape: ModelShape, width: int) -> int:
    """Keys and values of one image of all tiles; 0 for models whose images are text tokens."""
    vision = config.get("vision_config")
    if not _cross_layers(config) or not isinstance(vision, dict):
        return 0
    patches = (int(vision.get("image_size", 448)) // int(vision.get("patch_size", 14))) ** 2 + 1
    tokens = patches * int(vision.get("max_num_tiles", 4))
    return tokens * _cross_layers(config) * shape.kv_heads * 2 * shape.head_dim * width


def _activation_bytes(
    config: Mapping[str, Any], shape: ModelShape, width: int, seqs: int, tokens: int
) -> int:
    inner = _text(config).get("intermediate_size")
    inner = inner if type(inner) is int else 4 * shape.hidden
    prefill = tokens * (_STREAMS * shape.hidden + _INNER * inner) * width
    return seqs * shape.vocab_size * _LOGITS + prefill + _vision_activations(config, width)


def _vision_activations(config: Mapping[str, Any], width: int) -> int:
    """One image of all tiles in the encoder: hidden states of its layers, and an inner layer."""
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        return 0
    side = vision.get("image_size", 448)
    patch = vision.get("patch_size", 14)
    hidden = vision.get("hidden_size") or vision.get("embed_dim") or 1024
    if not all(type(n) is int and n > 0 for n in (side, patch, hidden)):
        return 0
    tokens = (side // patch) ** 2 * int(vision.get("max_num_tiles", 1))
    return int(tokens * hidden * width * 40)


def _largest(most: int, fits: Any) -> int:
    """The largest number up to ``most`` that fits; 0 when none does. What fits is monotone."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _size(count: int) -> str:
    return format_size(count, digits=3)
