"""Number formats: bits of weights and cache, and which of a device's units compute with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
