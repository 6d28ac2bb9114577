"""Number formats: bits of weights and cache, and which of a device's units compute with them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.units import printable

ComputeUnit = Literal["fp16", "int8", "fp8", "fp4", "fp32"]
"""Which peak of an accelerator the matrix products run at; bf16 counts as fp16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How a model's numbers are held while it runs.

    Attributes:
        name: "bf16", "fp16", "fp8", "int8", "awq", "fp4", "mxfp4" …
        weight_bits: Bits of a quantised weight, scales included.
        kv_bytes: Bytes of a cached value.
        compute: The unit that multiplies; weight-only formats (AWQ) compute in fp16.
        embeddings_16_bit: Whether embedding and head stay at 16 bits.
    """

    name: str
    weight_bits: float
    kv_bytes: float
    compute: ComputeUnit
    embeddings_16_bit: bool = True


_16: Final = 2.0
_TABLE: Final = (
    Precision(name="fp32", weight_bits=32, kv_bytes=4, compute="fp32", embeddings_16_bit=False),
    Precision(name="bf16", weight_bits=16, kv_bytes=_16, compute="fp16"),
    Precision(name="fp16", weight_bits=16, kv_bytes=_16, compute="fp16"),
    Precision(name="fp8", weight_bits=8, kv_bytes=_16, compute="fp8"),
    Precision(name="int8", weight_bits=8, kv_bytes=_16, compute="int8"),
    # Groups of 128 share a 16-bit scale and a 4-bit zero point: 4 + 20 / 128.
    Precision(name="awq", weight_bits=4.15625, kv_bytes=_16, compute="fp16"),
    Precision(name="gptq", weight_bits=4.15625, kv_bytes=_16, compute="fp16"),
    # NVFP4: groups of 16 share an fp8 scale: 4 + 8 / 16. MXFP4: groups of 32: 4 + 8 / 32.
    Precision(name="fp4", weight_bits=4.5, kv_bytes=_16, compute="fp4"),
    Precision(name="mxfp4", weight_bits=4.25, kv_bytes=_16, compute="fp16"),
    # GGUF: Q8_0 holds 32 weights in 34 bytes; Q4_K_M files measured 4.82 to 5.22 bits.
    Precision(name="q8_0", weight_bits=8.5, kv_bytes=_16, compute="fp16", embeddings_16_bit=False),
    Precision(
        name="q4_k_m", weight_bits=4.9, kv_bytes=_16, compute="fp16", embeddings_16_bit=False
    ),
)
PRECISIONS: Final[Mapping[str, Precision]] = MappingProxyType({one.name: one for one in _TABLE})
"""By name; the cache has 16 bits unless `with_kv` says otherwise. Bits a weight follow from the
formats' definitions, Q4_K_M's from files (shared/facts/planning.md, 2026-11-22)."""

_OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "float32": "fp32",
        "f32": "fp32",
        "bfloat16": "bf16",
        "float16": "fp16",
        "f16": "fp16",
        "half": "fp16",
        "int4": "awq",
        "int4-awq": "awq",
        "w4a16": "awq",
        "int4-gptq": "gptq",
        "nvfp4": "fp4",
        "w8a8": "int8",
        "fp8_e4m3": "fp8",
        "fp8-dynamic": "fp8",
    }
)
_KV_BYTES: Final[Mapping[str, float]] = MappingProxyType(
    {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625}
)


def canonical_name(name: str) -> str:
    """The name that `PRECISIONS` uses for ``name``: "int4-awq" is "awq", "nvfp4" is "fp4"."""
    wanted = name.strip().lower()
    return _OTHER_NAMES.get(wanted, wanted)


def find_precision(name: str, kv: str | None = None) -> Precision:
    """The precision of a name, with its KV cache held as ``kv`` says.

    Args:
        name: As people or configs write it: "bfloat16", "int4-awq", "nvfp4".
        kv: Number format of the cache; 16 bits by default.

    Raises:
        UsageError: There is none of that name.
    """
    known = PRECISIONS.get(canonical_name(name))
    if known is None:
        near = difflib.get_close_matches(canonical_name(name), PRECISIONS, n=1)
        raise UsageError(
            f'unknown precision "{printable(name)}"',
            hint=(f'Did you mean "{near[0]}"? ' if near else "")
            + f"Known are {', '.join(PRECISIONS)}",
        )
    return known if not kv else with_kv(known, kv)


def with_kv(precision: Precision, kv: str) -> Precision:
    """The same precision with its cache held as ``kv``: "fp8", "int8", "bf16".

    Raises:
        UsageError: There is no such cache.
    """
    held = _KV_BYTES.get(canonical_name(kv))
    if held is None:
        raise UsageError(
            f'unknown KV-cache format "{printable(kv)}"', hint=f"Known are {', '.join(_KV_BYTES)}"
        )
    return replace(precision, kv_bytes=held)


def native_precision(anatomy: Anatomy) -> Precision:
    """How the model is stored; bf16 when that is not known.

    A quantisation that is not in `PRECISIONS` (a GGUF mixture) keeps its own bits and computes in
    fp16.
    """
    stored = anatomy.stored
    if stored is None:
        return PRECISIONS["bf16"]
    known = PRECISIONS.get(canonical_name(stored.name))
    if known is not None:
        return known
    return Precision(
        name=stored.name,
        weight_bits=stored.bits,
        kv_bytes=_16,
        compute="fp16",
        embeddings_16_bit=False,
    )


def compute_unit(precision: Precision, accelerator: Accelerator) -> ComputeUnit:
    """The unit that multiplies on this accelerator.

    A format without a unit of its own is unpacked to 16 bits in front of the fp16 units, as the
    weight-only kernels (Marlin) do. MXFP4 meets 8-bit activations where there is an fp4 unit
    (Blackwell multiplies mixed formats at the fp8 rate), and 16-bit ones elsewhere.
    """
    if precision.name == "mxfp4" and accelerator.fp4 and accelerator.fp8:
        return "fp8"
    own = {"fp8": accelerator.fp8, "int8": accelerator.int8, "fp4": accelerator.fp4}
    if precision.compute in own:
        return precision.compute if own[precision.compute] else "fp16"
    return precision.compute


def peak_flops(precision: Precision, accelerator: Accelerator) -> float:
    """Dense operations a second of `compute_unit` on one accelerator.

    fp32 is taken as a quarter of fp16: tensor cores round it to TF32, whose rate is half of
    fp16's on the data sheets of A100 and H100, and its inputs are
    twice as wide.
    """
    rates = {
        "fp16": accelerator.fp16,
        "fp32": accelerator.fp16 / 4,
        "fp8": accelerator.fp8,
        "int8": accelerator.int8,
        "fp4": accelerator.fp4,
    }
    return rates[compute_unit(precision, accelerator)] or accelerator.fp16


def unusable(precision: Precision, accelerator: Accelerator) -> str | None:
    """Why this accelerator cannot run this precision at speed; None when it can.

    Source: NVIDIA's architectures by compute capability. bf16 came with Ampere (8.0), fp8 with Ada
    (8.9) and Hopper (9.0), fp4 with Blackwell (10.0).
    """
    if precision.name == "bf16" and not accelerator.bf16:
        return f"{accelerator.title} has no bf16; take fp16"
    missing = {"fp8": accelerator.fp8, "int8": accelerator.int8, "fp4": accelerator.fp4}
    if precision.compute in missing and not missing[precision.compute]:
        return f"{accelerator.title} has no {precision.compute} unit"
    if accelerator.neuron and precision.name in {"awq", "gptq", "mxfp4", "q8_0", "q4_k_m"}:
        return (
            f"{accelerator.title} runs compiled models in bf16, fp8 or int8, not {precision.name}"
        )
    return None
