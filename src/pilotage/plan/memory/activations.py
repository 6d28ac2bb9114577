"""The peak of activations in vLLM's profile run, which is taken from the cache."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.catalog.anatomy import Anatomy, Vision

SAMPLER_BYTES = 38.2
"""Bytes the sampler holds for one sequence and one vocabulary entry: logits in 16 and 32 bits,
sorted values, 64-bit indices, probabilities, cumulative sums. Fitted on the three H100 rows of
shared/data/measured/inference.csv with a vocabulary of their own (38.19 to 38.27, `max_num_seqs`
1024, the default there)."""

LAYER_BYTES = 6.0
"""Bytes a block holds for one token and one value of its hidden and intermediate width: from the
RTX 3090 rows that shared/facts/planning.md sums up (2026-11-22)."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak and how it came about: ``bytes`` and the formula with its numbers."""

    bytes: float
    formula: str


def activation_peak(
    anatomy: Anatomy,
    *,
    tensor_parallel: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    images: int = 0,
) -> Peak:
    """The largest of what sampling, the widest block and the image encoder hold.

    Sampling: ``38.2 * sequences * vocabulary`` beside the hidden states of the batch,
    ``2 * hidden * tokens``; logits are gathered, so every rank holds the whole vocabulary. Block:
    ``6 * (intermediate / ranks + hidden) * tokens``, a mixture's tokens counted once for every
    expert they are sent to. Images: the same six bytes for every patch of the images that the
    profile run encodes at once.
    """
    seqs = min(max_num_seqs, max_num_batched_tokens)
    tokens = max_num_batched_tokens
    hidden = 2.0 * anatomy.hidden * tokens
    rows = 0 if anatomy.encoder else anatomy.vocab
    candidates = [
        Peak(
            SAMPLER_BYTES * seqs * rows + hidden,
            f"{SAMPLER_BYTES:g} B x {seqs:,} sequences x {rows:,} vocabulary"
            f" + 2 B x {anatomy.hidden:,} hidden x {tokens:,} tokens",
        )
    ]
    width = max(
        group.feed_forward.intermediate * max(1, group.feed_forward.experts_per_token)
        for group in anatomy.layers
    )
    candidates.append(
        Peak(
            LAYER_BYTES * (width / tensor_parallel + anatomy.hidden) * tokens,
            f"{LAYER_BYTES:g} B x ({width:,} intermediate / {tensor_parallel}"
            f" + {anatomy.hidden:,} hidden) x {tokens:,} tokens",
        )
    )
    if anatomy.vision is not None and images > 0:
        candidates.append(_vision_peak(anatomy.vision, tensor_parallel, seqs, tokens, images))
    return max(candidates, key=lambda peak: peak.bytes)


def _vision_peak(vision: Vision, tensor_parallel: int, seqs: int, tokens: int, images: int) -> Peak:
    """What encoding takes.

    A model with cross-attention encodes the images of all ``max_num_seqs`` sequences in its
    profile run (which is why a lower ``max_num_seqs`` cures its running out of memory); one with
    images in the prompt encodes as many as the token budget holds, at least one.
    """
    if vision.fixed_tokens:
        patches = vision.fixed_tokens * vision.max_tiles
    else:
        patches = (1024 // vision.patch) ** 2
    if vision.kind == "cross":
        encoded = seqs * images
    else:
        encoded = max(1, tokens * vision.merge**2 // patches)
    width = vision.intermediate / tensor_parallel + vision.hidden
    return Peak(
        LAYER_BYTES * width * patches * encoded,
        f"{LAYER_BYTES:g} B x ({vision.intermediate:,} / {tensor_parallel} + {vision.hidden:,})"
        f" x {patches:,} patches x {encoded:,} images at once",
    )
