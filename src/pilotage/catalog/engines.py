"""What each engine computes on, and what it does there.

One table for the planner, serving and shipping: an engine that is planned on a device must be one
that starts there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Computes = Literal["cpu", "cuda", "neuron"]
"""Kinds of devices, as `pilotage.devices` finds them."""

Work = Literal["generate", "embed", "predict"]
"""Text from text; a vector; a label or the answer's place in a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTraits:
    """One engine, as Pilotage runs it.

    Attributes:
        name: As ``model.engine`` has it.
        devices: What it computes on, what it is best at first.
        work: What it does.
        spreads: Whether one copy may lie on several accelerators.
        converts: Whether it takes weights into fewer bits while it loads them.
    """

    name: str
    devices: tuple[Computes, ...]
    work: frozenset[Work]
    spreads: bool = False
    converts: bool = False


_TABLE: Final = (
    EngineTraits(
        name="openvino", devices=("cpu",), work=frozenset({"generate", "embed", "predict"})
    ),
    EngineTraits(name="onnxruntime", devices=("cpu",), work=frozenset({"embed", "predict"})),
    EngineTraits(
        name="vllm",
        devices=("cuda", "cpu"),
        work=frozenset({"generate", "embed"}),
        spreads=True,
        converts=True,
    ),
    # It takes the first CUDA device that its worker sees, and has no fp8.
    EngineTraits(name="transformers", devices=("cuda", "cpu"), work=frozenset({"generate"})),
    EngineTraits(name="llamacpp", devices=("cuda", "cpu"), work=frozenset({"generate", "embed"})),
    EngineTraits(
        name="neuron",
        devices=("neuron",),
        work=frozenset({"generate", "embed", "predict"}),
        spreads=True,
        converts=True,
    ),
)
ENGINES: Final[Mapping[str, EngineTraits]] = MappingProxyType({one.name: one for one in _TABLE})
"""By name. Source: docs/engines.md, whose engines are in `pilotage.engines`."""


def computes_on(engine: str) -> tuple[Computes, ...]:
    """The kinds of devices of an engine; the CPU for one that is not known."""
    known = ENGINES.get(engine)
    return known.devices if known is not None else ("cpu",)
