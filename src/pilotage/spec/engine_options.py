"""Options of ``serving:`` that engines with a server of their own take (vLLM, llama-server)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pilotage.spec.fields import Section, Size


class EngineOptions(Section):
    """How a big model is spread over accelerators, and what its engine keeps in memory."""

    tensor_parallel: int = Field(
        default=1, ge=1, le=64, description="Devices that share every layer (vLLM)."
    )
    pipeline_parallel: int = Field(
        default=1, ge=1, le=64, description="Groups of devices that share the layers (vLLM)."
    )
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="Share of a device's memory that vLLM may take."
    )
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"] = Field(
        default="auto", description="Number format of the KV cache (vLLM)."
    )
    swap_space: Size | None = Field(
        default=None, ge=0, description="Host memory for swapped KV blocks, a device (vLLM)."
    )
    lora_adapters: dict[str, str] = Field(
        default={}, description="LoRA adapters by the model name that selects them (vLLM)."
    )
    engine_command: str | None = Field(
        default=None,
        description="Program that runs the engine: a Python with vLLM, or llama-server. "
        "Found on the PATH if not given.",
    )
