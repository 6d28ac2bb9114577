"""The memory plan of a worker: how large its KV cache may be and what fits in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path

import psutil

from pilotage.catalog import ModelShape
from pilotage.errors import ResourceError
from pilotage.units import format_size

BLOCK_TOKENS = 32
"""Tokens a KV-cache block holds in OpenVINO GenAI on a CPU."""

DEFAULT_SEQS = 64
"""Sequences a CPU worker runs at once when nothing says otherwise: where throughput levels off."""

TYPICAL_TOKENS = 1024
"""Prompt plus completion that one sequence is sized for when no workload is given."""

RUNTIME_BYTES = 300 << 20
"""What an engine process needs beside weights and KV cache (code, graph, activations)."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What one worker may hold.

    Attributes:
        free_bytes: Memory that was free on the machine when the plan was made.
        weight_bytes: The model's weights, as stored.
        kv_bytes_per_token: Keys and values of one token.
        kv_blocks: Blocks of `BLOCK_TOKENS` tokens.
        max_num_seqs: Sequences that run at once.
        max_model_len: Longest prompt plus completion, in tokens.
    """

    free_bytes: int
    weight_bytes: int
    kv_bytes_per_token: float
    kv_blocks: int
    max_num_seqs: int
    max_model_len: int

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV cache holds."""
        return self.kv_blocks * BLOCK_TOKENS

    @property
    def kv_bytes(self) -> int:
        """Bytes of the KV cache."""
        return round(self.kv_tokens * self.kv_bytes_per_token)


def free_memory() -> int:
    """Bytes that can be had now: the kernel's estimate, or what the control group still allows."""
    free = psutil.virtual_memory().available
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        with suppress(OSError, ValueError):  # no such control group, or its limit is "max"
            limit = int(Path(limit_file).read_text())
            used = int(Path(used_file).read_text())
            free = min(free, max(0, limit - used))
    return free


def openvino_kv_bytes_per_token(shape: ModelShape) -> float:
    """Bytes that OpenVINO's CPU paged attention keeps for one token.

    Its default is 8-bit: keys are quantised by channel, with a scale and a zero point (two
    float32) for each channel of a block; values by token, with the two for each token and head:
    ``sum(kv_heads) * (key_dim * (1 + 8 / block) + value_dim + 8)``. For SmolLM2-135M this gives
    13,680 bytes, which is what the running engine reports.
    """
    key = shape.head_dim * (1 + 8 / BLOCK_TOKENS)
    return sum(shape.kv_heads_by_layer) * (key + shape.value_head_dim + 8)


def plan_memory(
    shape: ModelShape,
    *,
    workers: int,
    free_bytes: int,
    memory_fraction: float,
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    kv_cache_bytes: int | None = None,
    typical_tokens: int | None = None,
) -> MemoryPlan:
    """Derive the KV cache and the batch limit of each worker from the memory that is free.

    The caches of all workers together take at most ``memory_fraction`` of what is left after
    weights and runtime, and no more than the sequences they are meant for can use: the larger of
    ``max_num_seqs`` typical sequences and two of the longest.

    Args:
        shape: The model.
        workers: Processes that each hold the whole model.
        free_bytes: Memory to plan with, see `free_memory`.
        memory_fraction: Share of it for the KV caches.
        max_model_len: Longest sequence; the model's own limit by default.
        max_num_seqs: Sequences at once; derived if not given.
        kv_cache_bytes: Size of each worker's cache; derived if not given.
        typical_tokens: Prompt plus completion of a usual request.

    Raises:
        ResourceError: One sequence of ``max_model_len`` tokens does not fit.
    """
    length = min(max_model_len or shape.context_length, shape.context_length)
    per_token = openvino_kv_bytes_per_token(shape)
    typical = min(typical_tokens or TYPICAL_TOKENS, length)
    left = max(0, free_bytes - workers * (shape.weight_bytes + RUNTIME_BYTES))
    affordable = left * memory_fraction / workers
    wanted = max((max_num_seqs or DEFAULT_SEQS) * typical, 2 * length) * per_token
    budget = kv_cache_bytes if kv_cache_bytes is not None else min(wanted, affordable)
    blocks = floor(budget / (per_token * BLOCK_TOKENS))
    needed = -(-length // BLOCK_TOKENS) + 1
    if blocks < needed or budget > left / workers:
        _refuse(
            length=length,
            needed=needed * BLOCK_TOKENS * per_token,
            budget=budget,
            left=left / workers,
            free_bytes=free_bytes,
            workers=workers,
            held=shape.weight_bytes + RUNTIME_BYTES,
        )
    fitting = max(1, blocks * BLOCK_TOKENS // typical)
    return MemoryPlan(
        free_bytes=free_bytes,
        weight_bytes=shape.weight_bytes,
        kv_bytes_per_token=per_token,
        kv_blocks=blocks,
        max_num_seqs=max_num_seqs or min(DEFAULT_SEQS, fitting),
        max_model_len=length,
    )


def _refuse(
    *,
    length: int,
    needed: float,
    budget: float,
    left: float,
    free_bytes: int,
    workers: int,
    held: int,
) -> None:
    if budget > left:
        message = (
            f"no memory for a KV cache of {format_size(round(budget), digits=3)}: "
            f"{format_size(round(left), digits=3)} is left"
        )
    else:
        message = (
            f"no memory for the KV cache: a sequence of {length:,} tokens needs "
            f"{format_size(round(needed), digits=3)}, the cache would have "
            f"{format_size(round(budget), digits=3)}"
        )
    raise ResourceError(
        f"{message} ({format_size(free_bytes, digits=3)} free, less "
        f"{format_size(held, digits=3)} for weights and runtime in each of "
        f"{workers} worker{'s' if workers > 1 else ''})",
        hint="Lower --max-model-len or --workers, raise --kv-cache or --memory-fraction, "
        "or free memory",
    )
