"""What a worker is told of an engine that it shall open."""

from __future__ import annotations

from typing import Literal

import msgspec

from pilotage.engines.engine import Task
from pilotage.engines.memory import MemoryPlan

EngineName = Literal["openvino", "transformers", "onnxruntime", "neuron", "vllm", "llamacpp"]


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One model for one worker; crosses process boundaries.

    Attributes:
        model: The name clients use.
        engine: Who opens it.
        task: What it does.
        path: The model's file or folder.
        memory_bytes: What it takes on its device once it is loaded: weights, cache, runtime. The
            budget of a device slice is kept with it.
        plan: KV cache and batch limits, for engines with a cache that is allotted beforehand.
        dtype: The spec's ``model.dtype``.
        quantization: The spec's ``model.quantization``.
        max_model_len: Longest sequence, tokens.
        max_num_seqs: Sequences at once; chosen by the engine if not given.
        max_num_batched_tokens: Tokens a step; chosen by the engine if not given.
        prefix_caching: Whether to keep the cache of shared prompt beginnings.
        cache: Folder for what is compiled or converted.
    """

    model: str
    engine: EngineName
    task: Task = "generate"
    path: str
    memory_bytes: int = 0
    plan: MemoryPlan | None = None
    dtype: str = "auto"
    quantization: str | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    prefix_caching: bool = True
    cache: str
