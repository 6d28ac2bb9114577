"""Memory of a model compiled for AWS's own chips (Inferentia2, Trainium1)."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.memory.cache import sequence_bytes
from pilotage.plan.memory.memory_plan import MemoryPlan
from pilotage.plan.memory.weights import bytes_of_rank, weights_of
from pilotage.plan.precision import Precision
from pilotage.plan.terms import Sum, Term

CORES_A_CHIP: Final = 2

RUNTIME_BYTES: Final = 1 << 30
"""Compiled graphs, scratch and runtime of a core. Prior: no measurement."""


def memory_of_neuron(
    anatomy: Anatomy,
    precision: Precision,
    chip_memory_bytes: int,
    *,
    cores: int,
    max_model_len: int,
    max_num_seqs: int,
) -> MemoryPlan:
    """What one NeuronCore holds when ``cores`` of them share every layer.

    Shapes are compiled: the cache is laid out in advance for ``max_num_seqs`` sequences of
    ``max_model_len`` tokens, whole, so the plan fits when they all do. A core has half of its
    chip's memory.

    Args:
        anatomy: The model.
        precision: How it is held: bf16, fp8 or int8.
        chip_memory_bytes: Of one chip, which has two cores.
        cores: Tensor parallelism.
        max_model_len: Longest sequence, tokens.
        max_num_seqs: Sequences at once.

    Raises:
        UsageError: A number makes no sense.
    """
    if min(cores, max_model_len, max_num_seqs, chip_memory_bytes) < 1:
        raise UsageError("cores, lengths, sequences and memory should be positive")
    budget = chip_memory_bytes / CORES_A_CHIP
    weights = weights_of(anatomy, precision, tensor_parallel=cores)
    held = bytes_of_rank(weights, anatomy, tensor_parallel=cores, pipeline_parallel=1)
    each = sequence_bytes(anatomy, precision, max_model_len, tensor_parallel=cores)
    terms = (
        Term(
            "weights",
            held,
            "B",
            f"{weights.total:,.0f} B / {cores} cores",
            f"config of {anatomy.name}",
        ),
        Term("runtime", float(RUNTIME_BYTES), "B", "1 GiB", "prior: no measurement"),
        Term(
            "KV cache",
            each * max_num_seqs,
            "B",
            f"{max_num_seqs:,} sequences x {max_model_len:,} tokens, laid out in advance",
            "compiled shapes",
        ),
    )
    needed = Sum("memory of one NeuronCore", terms)
    return MemoryPlan(
        memory_bytes=chip_memory_bytes,
        budget_bytes=budget,
        terms=needed,
        kv_bytes=each * max_num_seqs,
        shortfall_bytes=max(0.0, needed.value - budget),
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_model_len,
        image_bytes=0.0,
        # A slot is as long as the longest sequence, whatever is in it.
        _sequence=lambda _length: each,
    )
