"""Models and workloads to hold strategies against."""

from __future__ import annotations

from pilotage.catalog.anatomy import Anatomy, Attention, AttentionKind, FeedForward, Layers
from pilotage.plan.demand import Demand, Lengths

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"

CHAT = Demand(
    rate=20,
    peak=80,
    shape="spiky",
    prompt=Lengths(p50=180, p99=900),
    completion=Lengths(p50=60, p99=128),
)


def model(
    parameters: int = 8_000_000_000, kind: AttentionKind = "full", *, encoder: bool = False
) -> Anatomy:
    """A model of so many parameters, all in one block."""
    attention = Attention(
        kind=kind, heads=32, kv_heads=8, head_dim=128, value_head_dim=128, parameters=0
    )
    block = FeedForward(intermediate=14336, parameters=parameters, active_parameters=parameters)
    return Anatomy(
        name="model",
        family="llama",
        hidden=4096,
        vocab=128_256,
        context_length=131_072,
        layers=(Layers(count=1, attention=attention, feed_forward=block, norm_parameters=0),),
        embedding_parameters=0,
        head_parameters=0,
        other_parameters=0,
        encoder=encoder,
    )
