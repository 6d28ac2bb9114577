"""Bytes of a model's weights in a precision, whole and on one rank."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.precision import Precision, canonical_name

_MARLIN_HIDDEN = 256
_MARLIN_INTERMEDIATE = 128
"""vLLM pads MXFP4 experts to these multiples for its Marlin kernels (vllm/model_executor/layers/
quantization/mxfp4.py, 2026-11): 2880 becomes 3072 and 2944."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes by the part of the model that reads them.

    Attributes:
        dense: Blocks without routed experts: every token reads them.
        experts: Routed experts, of which a batch reads those it is sent to.
        embedding: Looked up, row by row.
        head: Multiplied with; the bytes of the embedding where that is the head, too.
        tied: Whether head and embedding are the same bytes.
        vision: Read when an image is encoded.
    """

    dense: float
    experts: float
    embedding: float
    head: float
    tied: bool
    vision: float

    @property
    def total(self) -> float:
        """All of them, the shared embedding once."""
        head = 0.0 if self.tied else self.head
        return self.dense + self.experts + self.embedding + head + self.vision


def weights_of(anatomy: Anatomy, precision: Precision, *, tensor_parallel: int = 1) -> Weights:
    """The bytes of a model's weights.

    Where the model is stored in this very precision, its config says how many weights are
    quantised and to how many bits; else the matrices of all blocks are (of a mixture in MXFP4 only
    the experts, as OpenAI ships them). Norms, vision tower, and (unless the format says otherwise)
    embedding and head keep 16 bits. bytes = quantised * bits / 8 + others * 2.

    Args:
        anatomy: The model.
        precision: How it is held.
        tensor_parallel: Shards; matters to the padding of MXFP4 experts alone.
    """
    expert_parameters = sum(
        group.count * group.feed_forward.experts * group.feed_forward.expert_parameters
        for group in anatomy.layers
    )
    matrices = sum(
        group.count * (group.attention.parameters + group.feed_forward.parameters)
        for group in anatomy.layers
    )
    norms = sum(group.count * group.norm_parameters for group in anatomy.layers)
    dense_parameters = matrices - expert_parameters
    outside = anatomy.embedding_parameters + anatomy.head_parameters

    wide = 4.0 if precision.name == "fp32" else 2.0  # bytes of what is not quantised
    bits, quantised = (
        precision.weight_bits,
        matrices + (0 if precision.embeddings_16_bit else outside),
    )
    stored = anatomy.stored
    if (
        stored is not None
        and stored.quantised_parameters
        and canonical_name(stored.name) == precision.name
    ):
        bits, quantised = stored.bits, stored.quantised_parameters
    elif precision.name == "mxfp4" and expert_parameters:
        quantised = expert_parameters
    narrow = bits / 8

    in_experts = min(quantised, expert_parameters)
    in_dense = min(quantised - in_experts, dense_parameters)
    in_outside = min(quantised - in_experts - in_dense, outside)
    share_outside = in_outside / outside if outside else 0.0
    outside_bytes = share_outside * narrow + (1 - share_outside) * wide

    padded = _mxfp4_padding(anatomy, tensor_parallel) if precision.name == "mxfp4" else 1.0
    vision = anatomy.vision.parameters * wide if anatomy.vision else 0.0
    embedding = anatomy.embedding_parameters * outside_bytes
    tied = anatomy.head_parameters == 0
    return Weights(
        dense=in_dense * narrow
        + (dense_parameters - in_dense + norms + anatomy.other_parameters) * wide,
        experts=in_experts * narrow * padded + (expert_parameters - in_experts) * wide,
        embedding=embedding,
        head=0.0
        if anatomy.encoder
        else (anatomy.vocab * anatomy.hidden if tied else anatomy.head_parameters) * outside_bytes,
        tied=tied,
        vision=vision,
    )


def bytes_of_rank(
    weights: Weights, anatomy: Anatomy, *, tensor_parallel: int, pipeline_parallel: int
) -> float:
    """Bytes of weights on the fullest rank.

    Tensor parallelism splits every matrix, embedding and vision tower evenly (norms, a
    ten-thousandth, are counted as if they were split). Pipeline parallelism gives a stage
    ``ceil(layers / stages)`` blocks; the first has the embedding and the vision tower, the last
    the head (a copy of the embedding when tied).
    """
    if pipeline_parallel == 1:
        return weights.total / tensor_parallel
    layers = sum(group.count for group in anatomy.layers)
    share = -(-layers // pipeline_parallel) / layers
    ends = max(weights.embedding + weights.vision, weights.head)
    return ((weights.dense + weights.experts) * share + ends) / tensor_parallel


def _mxfp4_padding(anatomy: Anatomy, tensor_parallel: int) -> float:
    """How many times larger the experts are in memory than in the file."""
    width = next((g.feed_forward.intermediate for g in anatomy.layers if g.feed_forward.experts), 0)
    if not width:
        return 1.0
    shard = -(-width // tensor_parallel)
    hidden = -(-anatomy.hidden // _MARLIN_HIDDEN) * _MARLIN_HIDDEN
    padded = -(-shard // _MARLIN_INTERMEDIATE) * _MARLIN_INTERMEDIATE
    return hidden / anatomy.hidden * padded * tensor_parallel / width
