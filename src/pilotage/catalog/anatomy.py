"""The anatomy of a model: what memory, speed and cost are computed from, layer by layer.

Finer than `pilotage.catalog.ModelShape`, which serves the engines of this machine: here every kind
of attention and feed-forward block has its own parameters, cache and work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AttentionKind = Literal["full", "sliding", "linear", "mla", "cross"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One attention block.

    Attributes:
        kind: "full" (MHA, GQA, MQA), "sliding" (sees `window` tokens), "linear" (a state of
            constant size), "mla" (a compressed latent is cached), "cross" (sees an image).
        heads: Query heads.
        kv_heads: Key/value heads.
        head_dim: Values of a key (and query) head.
        value_head_dim: Values of a value head.
        window: Tokens a sliding layer sees; None for all others.
        latent_dim: Values MLA caches a token (``kv_lora_rank + qk_rope_head_dim``); 0 elsewhere.
        state_values: Values a linear layer keeps a sequence; 0 elsewhere.
        parameters: Weights and biases of the block, norms inside it included.
    """

    kind: AttentionKind
    heads: int
    kv_heads: int
    head_dim: int
    value_head_dim: int
    window: int | None = None
    latent_dim: int = 0
    state_values: int = 0
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """One feed-forward block, dense or a mixture of experts.

    Attributes:
        intermediate: Its width (of one expert, in a mixture).
        parameters: All of it, router and shared experts included.
        active_parameters: What one token passes through; equal to `parameters` when dense.
        experts: Experts it has; 0 when dense.
        experts_per_token: Experts a token is sent to; 0 when dense.
        expert_parameters: Of one routed expert; 0 when dense.
    """

    intermediate: int
    parameters: int
    active_parameters: int
    experts: int = 0
    experts_per_token: int = 0
    expert_parameters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Equal transformer blocks.

    Attributes:
        count: How many.
        attention: Their attention.
        feed_forward: Their feed-forward block.
        norm_parameters: Of the norms around them, one block.
    """

    count: int
    attention: Attention
    feed_forward: FeedForward
    norm_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vision:
    """The part that sees.

    Attributes:
        kind: "prefix": an image becomes tokens of the prompt; "cross": text layers look at it.
        parameters: Encoder, projector and what belongs to them.
        layers: Encoder blocks.
        hidden: Their width.
        intermediate: Width of their feed-forward blocks.
        patch: Side of a patch in pixels.
        tile: Side of a tile in pixels; 0 for models that take any size.
        max_tiles: Tiles of one image.
        merge: Patches on a side that become one token.
        fixed_tokens: Tokens an image (or a tile) becomes, where its size does not matter; else 0.
    """

    kind: Literal["prefix", "cross"]
    parameters: int
    layers: int
    hidden: int
    intermediate: int
    patch: int
    tile: int = 0
    max_tiles: int = 1
    merge: int = 1
    fixed_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """How the weights are stored, where that is known.

    Attributes:
        bits: Mean bits a weight of the quantised part, scales and zero points included.
        name: Such as "bf16", "awq", "gptq", "fp8", "mxfp4", "q4_k_m".
        quantised_parameters: How many are stored so; the rest has 16 bits.
    """

    bits: float
    name: str
    quantised_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A model.

    Attributes:
        name: What it was looked up or read as.
        family: Its ``model_type``.
        hidden: Width of the residual stream.
        vocab: Tokens.
        context_length: Longest sequence.
        layers: Its blocks, grouped by kind, in the order they first appear.
        embedding_parameters: Token, position and segment embeddings.
        head_parameters: Output head; 0 when it is the embedding itself.
        other_parameters: Final norm and whatever else there is.
        vision: Its eyes; None without.
        stored: How its weights are stored; None when unknown.
        encoder: Whether it reads only: one pass, no cache.
    """

    name: str
    family: str
    hidden: int
    vocab: int
    context_length: int
    layers: tuple[Layers, ...]
    embedding_parameters: int
    head_parameters: int
    other_parameters: int
    vision: Vision | None = None
    stored: StoredWeights | None = None
    encoder: bool = False

    @property
    def parameters(self) -> int:
        """All weights, vision included."""
        blocks = sum(
            group.count
            * (group.attention.parameters + group.feed_forward.parameters + group.norm_parameters)
            for group in self.layers
        )
        seeing = self.vision.parameters if self.vision else 0
        return (
            blocks
            + self.embedding_parameters
            + self.head_parameters
            + self.other_parameters
            + seeing
        )

    @property
    def active_parameters(self) -> int:
        """Weights that one text token passes through; a lookup in the embedding is not counted.

        A tied head is counted once, as it is multiplied with.
        """
        blocks = sum(
            group.count
            * (
                group.attention.parameters
                + group.feed_forward.active_parameters
                + group.norm_parameters
            )
            for group in self.layers
        )
        head = 0 if self.encoder else (self.head_parameters or self.vocab * self.hidden)
        return blocks + head + self.other_parameters

    def kv_values(self, tokens: int) -> int:
        """Values that the cache of one sequence of `tokens` tokens holds, images not counted.

        ``kv_heads * (head_dim + value_head_dim)`` a token and full layer, `latent_dim` with MLA,
        at most `window` tokens in sliding layers, a constant state in linear ones.
        """
        total = 0
        for group in self.layers:
            attention = group.attention
            a_token = attention.kv_heads * (attention.head_dim + attention.value_head_dim)
            match attention.kind:
                case "full":
                    held = tokens * a_token
                case "sliding":
                    held = min(tokens, attention.window or tokens) * a_token
                case "mla":
                    held = tokens * attention.latent_dim
                case "linear":
                    held = attention.state_values
                case "cross":
                    held = 0
            total += group.count * held
        return 0 if self.encoder else total
