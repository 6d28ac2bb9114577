"""Building blocks of transformers, with their parameters counted.

A linear layer from n to m values has ``n * m`` weights and, with a bias, m more.
"""

from __future__ import annotations

from pilotage.catalog.anatomy import Attention, AttentionKind, FeedForward


def linear(inputs: int, outputs: int, *, bias: bool = False) -> int:
    """Parameters of a linear layer."""
    return inputs * outputs + (outputs if bias else 0)


def grouped_attention(
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    *,
    qkv_bias: bool = False,
    out_bias: bool = False,
    extra: int = 0,
    kind: AttentionKind = "full",
    window: int | None = None,
) -> Attention:
    """Multi-head, grouped-query or multi-query attention.

    Args:
        hidden: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key/value heads.
        head_dim: Values a head.
        qkv_bias: Whether the three input projections have biases.
        out_bias: Whether the output projection has one.
        extra: Further parameters (norms of queries and keys, sinks, gates).
        kind: Full, sliding or cross.
        window: Tokens a sliding layer sees.
    """
    parameters = (
        linear(hidden, heads * head_dim, bias=qkv_bias)
        + 2 * linear(hidden, kv_heads * head_dim, bias=qkv_bias)
        + linear(heads * head_dim, hidden, bias=out_bias)
        + extra
    )
    return Attention(
        kind=kind,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_head_dim=head_dim,
        window=window,
        parameters=parameters,
    )


def gated_mlp(hidden: int, intermediate: int, *, bias: bool = False) -> FeedForward:
    """Gate, up and down projections (SwiGLU and its kin)."""
    parameters = 2 * linear(hidden, intermediate, bias=bias) + linear(
        intermediate, hidden, bias=bias
    )
    return FeedForward(
        intermediate=intermediate, parameters=parameters, active_parameters=parameters
    )


def plain_mlp(hidden: int, intermediate: int, *, bias: bool = True) -> FeedForward:
    """Up and down projections."""
    parameters = linear(hidden, intermediate, bias=bias) + linear(intermediate, hidden, bias=bias)
    return FeedForward(
        intermediate=intermediate, parameters=parameters, active_parameters=parameters
    )


def mixture(
    *,
    intermediate: int,
    experts: int,
    per_token: int,
    expert_parameters: int,
    router: int,
    shared: int = 0,
) -> FeedForward:
    """A mixture of experts.

    Args:
        intermediate: Width of one expert.
        experts: Routed experts.
        per_token: Experts a token is sent to.
        expert_parameters: Of one routed expert.
        router: Parameters of the router.
        shared: Parameters that every token passes: shared experts and their gate.
    """
    return FeedForward(
        intermediate=intermediate,
        parameters=experts * expert_parameters + router + shared,
        active_parameters=per_token * expert_parameters + router + shared,
        experts=experts,
        experts_per_token=per_token,
        expert_parameters=expert_parameters,
    )
