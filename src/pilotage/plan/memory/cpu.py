"""Memory of a worker on a CPU under OpenVINO GenAI, Pilotage's embedded engine."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.memory.memory_plan import MemoryPlan
from pilotage.plan.memory.weights import weights_of
from pilotage.plan.precision import Precision
from pilotage.plan.terms import Sum, Term

BLOCK_TOKENS: Final = 32
"""Tokens a block of its cache holds on a CPU."""

RUNTIME_BYTES: Final = 300 << 20
"""Code, graph and activations of a worker's process (pilotage.engines.memory)."""

MAX_SEQS: Final = 64
"""Sequences at once when nothing says otherwise: where a CPU's throughput levels off."""


def openvino_kv_bytes(anatomy: Anatomy) -> float:
    """Bytes that a token takes in OpenVINO's 8-bit cache.

    Keys are quantised by channel, with a scale and a zero point (8 bytes) for each channel of a
    block of 32 tokens; values by token, with the two for each token and head:
    ``layers * kv_heads * (key dim * (1 + 8 / 32) + value dim + 8)``. SmolLM2-135M's 13,680 bytes
    are what the running engine reports. Source: pilotage.engines.memory, restated.
    """
    return sum(
        group.count
        * group.attention.kv_heads
        * (group.attention.head_dim * (1 + 8 / BLOCK_TOKENS) + group.attention.value_head_dim + 8)
        for group in anatomy.layers
        if group.attention.kind in ("full", "sliding")
    )


def memory_of_cpu(
    anatomy: Anatomy,
    precision: Precision,
    memory_bytes: int,
    *,
    memory_fraction: float = 0.8,
    max_model_len: int | None = None,
    max_num_seqs: int = MAX_SEQS,
    max_num_batched_tokens: int = 256,
    workers: int = 1,
) -> MemoryPlan:
    """What one worker holds: ``fraction * (memory / workers - weights - runtime)`` is its cache.

    Args:
        anatomy: The model.
        precision: How its weights are held; the cache has 8 bits.
        memory_bytes: Of the machine, or what of it is free.
        memory_fraction: Share of what is left that the cache may take.
        max_model_len: Longest sequence; the model's own limit by default.
        max_num_seqs: Sequences at once.
        max_num_batched_tokens: Tokens a step.
        workers: Processes that each hold the whole model.

    Raises:
        UsageError: A number makes no sense.
    """
    if not 0 < memory_fraction <= 1 or workers < 1 or memory_bytes < 1:
        raise UsageError("memory, its fraction (at most 1) and workers should be positive")
    mine = memory_bytes / workers
    weights = weights_of(anatomy, precision).total
    a_token = openvino_kv_bytes(anatomy)
    left = mine - weights - RUNTIME_BYTES
    fixed = (
        Term(
            "weights",
            weights,
            "B",
            f"{anatomy.parameters:,} parameters, {precision.name}",
            f"config of {anatomy.name}; {precision.weight_bits:g} bits a quantised weight",
        ),
        Term("runtime", float(RUNTIME_BYTES), "B", "300 MiB", "pilotage.engines.memory"),
        Term(
            "reserve",
            max(0.0, (1 - memory_fraction) * left),
            "B",
            f"{1 - memory_fraction:.0%} of {left / 2**30:.2f} GiB left",
            "serving.memory_fraction",
        ),
    )
    return MemoryPlan.of(
        anatomy,
        precision,
        fixed=Sum("fixed", fixed),
        memory_bytes=memory_bytes,
        budget_bytes=mine,
        budget_formula=f"{mine / 2**30:.2f} GiB",
        tensor_parallel=1,
        pipeline_parallel=1,
        max_model_len=max_model_len or anatomy.context_length,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        images=0,
        sequence=lambda length: a_token * length,
    )
