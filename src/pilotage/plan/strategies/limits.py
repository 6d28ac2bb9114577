"""What a strategy can and cannot do, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle, Strategy
from pilotage.plan.strategies.assumptions import BedrockAssumptions

GIB: Final = 1 << 30
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hard limits of a strategy. None: there is none, or it is the instance's.

    Attributes:
        title: What people call it.
        request_bytes: Largest request.
        timeout_s: Longest that a request may take.
        stream_timeout_s: Likewise when its answer is streamed; `timeout_s` if None.
        memory_bytes: Memory for the model and its runtime.
        start_s: Longest that a copy may take to start.
        concurrency: Requests at once, all copies together.
        gpu: Whether it can have accelerators.
        custom_weights: Whether it can serve weights of one's own.
        streams: Whether answers can be streamed.
        scales_to_zero: Whether nothing is paid while nothing is asked; then a request may meet a
            cold start.
        source: Who says so, and when.
    """

    title: str
    request_bytes: int | None = None
    timeout_s: float | None = None
    stream_timeout_s: float | None = None
    memory_bytes: int | None = None
    start_s: float | None = None
    concurrency: int | None = None
    gpu: bool
    custom_weights: bool
    streams: bool
    scales_to_zero: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a deployment when a strategy is held against it.

    Attributes:
        model: The model's name on the Hub, or whatever it is called.
        custom_weights: Whether its weights are one's own: fine-tuned, not the published ones.
        weights_bytes: At the configuration's precision; from the anatomy at 16 bits if None.
        e2e_p99_s: Predicted end-to-end latency; None when nothing predicts it.
        start_s: Predicted seconds from a start to the first answer; None likewise.
        offered: Whether the region has the instance type; None when not known.
        bedrock: What the user says of Bedrock.
    """

    model: str
    custom_weights: bool = False
    weights_bytes: int | None = None
    e2e_p99_s: float | None = None
    start_s: float | None = None
    offered: bool | None = None
    bedrock: BedrockAssumptions = field(default_factory=BedrockAssumptions)

    def weights(self, anatomy: Anatomy) -> int:
        """Bytes of the weights."""
        if self.weights_bytes is not None:
            return self.weights_bytes
        return anatomy.parameters * 2


Check = Callable[[Configuration, Demand, Anatomy, Circumstances], tuple[Obstacle, ...]]
"""Finds what of a deployment a strategy's own limits refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A strategy: its limits and how a deployment is held against them."""

    strategy: Strategy
    limits: Limits
    check: Check
