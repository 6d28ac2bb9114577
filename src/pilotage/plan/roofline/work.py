"""What a batch asks of one rank: operations, bytes read, bytes sent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pilotage.catalog.anatomy import Anatomy, Attention, Layers
from pilotage.plan.memory.cache import image_bytes, token_bytes
from pilotage.plan.memory.weights import Weights, weights_of
from pilotage.plan.precision import Precision
from pilotage.plan.roofline.arithmetic import least, most, power
from pilotage.plan.roofline.vision import encode_flops
from pilotage.plan.step_model import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Of one step, of the whole model (divide by the ranks that share it).

    Attributes:
        matrix_flops: Products with dense weights, experts left out.
        expert_flops: Products with routed experts.
        attention_flops: Queries with keys, weights with values.
        vision_flops: Encoding of images.
        weight_bytes: Weights that are read, an expert once however many tokens it gets.
        kv_bytes: Cache read by sequences that decode and written by all tokens.
        repeated_bytes: Cache that would be read besides if every query head read it by itself.
        activation_bytes: What passes between kernels through the memory.
        reduced_bytes: What one all-reduce adds up.
    """

    matrix_flops: float
    expert_flops: float
    attention_flops: float
    vision_flops: float
    weight_bytes: float
    kv_bytes: float
    repeated_bytes: float
    activation_bytes: float
    reduced_bytes: float


class Workload:
    """Counts the work of batches of one model in one precision.

    Args:
        anatomy: The model.
        precision: How it is held.
        tensor_parallel: Ranks that share every layer: KV heads that do not divide by them are
            copied, so more cache is read.
        images: Images each sequence looks at through cross-attention.
        image_patches: Patches of an image, for models that take any size; None for 1024 x 1024.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        precision: Precision,
        *,
        tensor_parallel: int = 1,
        images: int = 0,
        image_patches: int | None = None,
    ) -> None:
        self.anatomy = anatomy
        self.precision = precision
        self.weights: Weights = weights_of(anatomy, precision)
        self._ranks = tensor_parallel
        self._seen = images * (
            anatomy.vision.max_tiles * anatomy.vision.fixed_tokens
            if anatomy.vision and anatomy.vision.kind == "cross"
            else 0
        )
        self._seen_bytes = (
            images
            * image_bytes(anatomy, precision, tensor_parallel=tensor_parallel)
            * tensor_parallel
        )
        self._encode = encode_flops(anatomy.vision, image_patches) if anatomy.vision else 0.0
        # Per layer group, once: what does not depend on the batch.
        self._groups = tuple(self._of_group(group) for group in anatomy.layers)
        self._expert_parameters = sum(
            group.count
            * group.feed_forward.experts_per_token
            * group.feed_forward.expert_parameters
            for group in anatomy.layers
        )
        head = 0 if anatomy.encoder else (anatomy.head_parameters or anatomy.vocab * anatomy.hidden)
        self._head_parameters = head
        self._dense_parameters = anatomy.active_parameters - self._expert_parameters - head

    @cached_property
    def layers(self) -> int:
        """Blocks of the model."""
        return sum(group.count for group in self.anatomy.layers)

    def of(self, batch: Batch) -> Work:
        """The work of one step; of many, where the batch has arrays for its numbers.

        Products: 2 operations a weight and token; the head only for tokens that are sampled (one a
        decoding sequence, one for the prompts of the step). Attention:
        ``2 * heads * (head_dim + value_dim)`` a pair of tokens that see each other, pairs beyond a
        sliding window left out. Experts read: of E experts with k for a token, a batch of n tokens
        is expected to touch ``E * (1 - (1 - k/E) ** n)``, were the router fair.
        """
        tokens = batch.prefill_tokens + batch.decode_seqs
        sampled = batch.decode_seqs + (batch.prefill_tokens > 0)
        # Nobody's context is nothing: the mean is then of no matter, and only must not divide by 0.
        prefill_mean = batch.prefill_context / most(batch.prefill_tokens, 1)
        decode_mean = batch.decode_context / most(batch.decode_seqs, 1)
        attention = kv_bytes = repeated = activations = 0.0
        experts_read = 0.0
        for group in self._groups:
            window = group.window
            seen_prefill = least(prefill_mean, window) * batch.prefill_tokens
            seen_decode = least(decode_mean, window) * batch.decode_seqs
            attention += group.count * (
                group.prefill_flops * seen_prefill
                + group.decode_flops * seen_decode
                + group.token_flops * tokens
            )
            kv_bytes += group.count * (
                group.token_bytes * (seen_decode + tokens) + group.state_bytes * batch.decode_seqs
            )
            repeated += group.count * group.token_bytes * seen_decode * (group.shared_by - 1)
            activations += group.count * group.activation_bytes * tokens
            if group.experts:
                share = 1.0 - power(1.0 - group.per_token / group.experts, tokens)
                experts_read += share * group.expert_share
        if self._seen:
            kv_bytes += self._seen_bytes * batch.decode_seqs
        if self.anatomy.encoder:
            kv_bytes = 0.0
        text = tokens > 0
        return Work(
            matrix_flops=2.0 * (self._dense_parameters * tokens + self._head_parameters * sampled),
            expert_flops=2.0 * self._expert_parameters * tokens,
            attention_flops=attention,
            vision_flops=self._encode * batch.images,
            weight_bytes=self.weights.dense * text
            + self.weights.experts * experts_read
            + self.weights.head * text
            + self.weights.vision * (batch.images > 0),
            kv_bytes=kv_bytes,
            repeated_bytes=repeated,
            activation_bytes=activations,
            reduced_bytes=2.0 * self.anatomy.hidden * tokens,
        )

    def _of_group(self, group: Layers) -> _Group:
        attention, block = group.attention, group.feed_forward
        all_experts = sum(
            g.count * g.feed_forward.experts * g.feed_forward.expert_parameters
            for g in self.anatomy.layers
        )
        mine = group.count * block.experts * block.expert_parameters
        width = block.intermediate * max(1, block.experts_per_token)
        prefill, decode, token = self._attention_flops(attention)
        return _Group(
            count=group.count,
            window=float(attention.window) if attention.window else float("inf"),
            prefill_flops=prefill,
            decode_flops=decode,
            token_flops=token,
            token_bytes=token_bytes(attention, self.precision, self._ranks) * self._ranks,
            state_bytes=2.0 * 2.0 * attention.state_values if attention.kind == "linear" else 0.0,
            shared_by=attention.heads / max(1, attention.kv_heads)
            if attention.kind in ("full", "sliding")
            else 1.0,
            # 16-bit values: about 12 times the width of the stream (norms, projections' inputs and
            # outputs, residual sums) and 6 times that of the block pass through the memory.
            activation_bytes=2.0 * (12 * self.anatomy.hidden + 6 * width),
            experts=block.experts,
            per_token=block.experts_per_token,
            expert_share=mine / all_experts if all_experts else 0.0,
        )

    def _attention_flops(self, attention: Attention) -> tuple[float, float, float]:
        """Operations a pair of tokens in a prefill and in a decode, and a token on top of that.

        MLA decodes in the latent space: every head's query meets the latent, twice. Linear layers
        update and read their state: some 4 operations a value of it. Cross layers see the images.
        """
        pair = 2.0 * attention.heads * (attention.head_dim + attention.value_head_dim)
        match attention.kind:
            case "mla":
                return pair, 4.0 * attention.heads * attention.latent_dim, 0.0
            case "linear":
                return 0.0, 0.0, 4.0 * attention.state_values
            case "cross":
                return 0.0, 0.0, pair * self._seen
            case _:
                return pair, pair, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """What a layer of a group costs."""

    count: int
    window: float
    prefill_flops: float
    decode_flops: float
    token_flops: float
    token_bytes: float
    state_bytes: float
    shared_by: float
    activation_bytes: float
    experts: int
    per_token: int
    expert_share: float
