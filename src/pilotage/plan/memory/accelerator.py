"""What one rank of a model takes of an accelerator's memory, with vLLM's semantics."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.memory.activations import activation_peak
from pilotage.plan.memory.memory_plan import MemoryPlan
from pilotage.plan.memory.weights import bytes_of_rank, weights_of
from pilotage.plan.precision import Precision
from pilotage.plan.terms import Sum, Term

_GIB: Final = 1 << 30

UTILISATION: Final = 0.9
"""vLLM's default share of the memory up to v0.19; 0.92 from v0.22 (shared/facts/planning.md)."""

NON_TORCH: Final = round(0.13 * _GIB)
"""What CUDA libraries take beside PyTorch's allocator on a single rank: the three single-GPU rows
of shared/data/measured/inference.csv all say 0.13 GiB."""

NCCL: Final = round(0.42 * _GIB)
"""What communication buffers add where ranks talk: the one row with two ranks says 0.55 GiB."""

GRAPH_BYTES_A_LAYER: Final = 16 << 20
"""CUDA graphs over all captured batch sizes, a layer. Prior: no measurement; vLLM's logs speak of
half a GiB for models of some 32 layers."""

_LOGS: Final = "vLLM logs in shared/data/measured/inference.csv"


def vllm_defaults(memory_bytes: int, name: str = "") -> tuple[int, int]:
    """``(max_num_seqs, max_num_batched_tokens)`` that vLLM's server takes when told nothing.

    By the device's memory: from 160 GiB 1024 and 16384, from 70 GiB (but not the A100) 1024 and
    8192, below 256 and 2048. Source: vllm/engine/arg_utils.py of v0.32.
    """
    if memory_bytes >= 160 * _GIB:
        return 1024, 16384
    if memory_bytes >= 70 * _GIB and "a100" not in name.lower():
        return 1024, 8192
    return 256, 2048


def memory_of(
    anatomy: Anatomy,
    precision: Precision,
    accelerator_memory_bytes: int,
    *,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    utilisation: float = UTILISATION,
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    images: int = 0,
    graphs: bool = True,
) -> MemoryPlan:
    """What the fullest rank holds.

    ``KV cache = utilisation * memory - weights - activation peak - non-torch [- CUDA graphs]``,
    which reproduces vLLM's own logs to 0.01 GiB.

    Args:
        anatomy: The model.
        precision: How weights and cache are held.
        accelerator_memory_bytes: Of one accelerator.
        tensor_parallel: Accelerators that share every layer.
        pipeline_parallel: Groups of them that share the layers.
        utilisation: Share of the memory the engine may use.
        max_model_len: Longest sequence; the model's own limit by default.
        max_num_seqs: Sequences at once; `vllm_defaults` by default.
        max_num_batched_tokens: Tokens a step; likewise.
        images: Images a request may have.
        graphs: Whether CUDA graphs are taken from the budget (vLLM from v0.21) or from what
            the utilisation leaves.

    Raises:
        UsageError: A number makes no sense.
    """
    if not 0 < utilisation <= 1:
        raise UsageError(f"utilisation should be above 0 and at most 1, got {utilisation:g}")
    if tensor_parallel < 1 or pipeline_parallel < 1 or accelerator_memory_bytes < 1 or images < 0:
        raise UsageError("parallelism and memory should be positive, images not negative")
    default_seqs, default_tokens = vllm_defaults(accelerator_memory_bytes)
    seqs = default_seqs if max_num_seqs is None else max_num_seqs
    tokens = default_tokens if max_num_batched_tokens is None else max_num_batched_tokens
    length = max_model_len or anatomy.context_length
    if seqs < 1 or tokens < 1 or length < 1:
        raise UsageError("sequences, tokens a step and the longest sequence should be positive")
    ranks = tensor_parallel * pipeline_parallel

    weights = weights_of(anatomy, precision, tensor_parallel=tensor_parallel)
    held = bytes_of_rank(
        weights, anatomy, tensor_parallel=tensor_parallel, pipeline_parallel=pipeline_parallel
    )
    peak = activation_peak(
        anatomy,
        tensor_parallel=tensor_parallel,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        images=images,
    )
    layers = sum(group.count for group in anatomy.layers)
    mine = -(-layers // pipeline_parallel)
    fixed = [
        Term(
            "weights",
            held,
            "B",
            f"{anatomy.parameters:,} parameters, {precision.name}: {weights.total:,.0f} B"
            f" / {tensor_parallel} tensor ranks"
            + (f", {mine} of {layers} layers" if pipeline_parallel > 1 else ""),
            f"config of {anatomy.name}; {precision.weight_bits:g} bits a quantised weight",
        ),
        Term("activation peak", peak.bytes, "B", peak.formula, f"fitted on {_LOGS}"),
        Term(
            "non-torch",
            NON_TORCH + (NCCL if ranks > 1 else 0),
            "B",
            "0.13 GiB CUDA" + (" + 0.42 GiB NCCL" if ranks > 1 else ""),
            _LOGS,
        ),
    ]
    if graphs and not anatomy.encoder:
        fixed.append(
            Term(
                "CUDA graphs",
                GRAPH_BYTES_A_LAYER * mine,
                "B",
                f"16 MiB x {mine} layers",
                "prior: no measurement",
            )
        )
    return MemoryPlan.of(
        anatomy,
        precision,
        fixed=Sum("fixed", tuple(fixed)),
        memory_bytes=accelerator_memory_bytes,
        budget_bytes=utilisation * accelerator_memory_bytes,
        budget_formula=f"{utilisation:g} x {accelerator_memory_bytes / _GIB:.2f} GiB",
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        max_model_len=length,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        images=images,
    )
