"""Which engine would run the model on which accelerator, and what to say where none does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.engines import ENGINES, Computes, EngineTraits
from pilotage.plan.option import Configuration, Obstacle, Option, Strategy
from pilotage.plan.question import Question

ON_INSTANCES: Final[Mapping[Strategy, tuple[Computes, ...]]] = MappingProxyType(
    {
        "machine": ("cuda", "neuron"),
        "ecs-gpu": ("cuda",),
        "ecs-neuron": ("neuron",),
        "sagemaker-realtime": ("cuda", "neuron"),
        "sagemaker-async": ("cuda", "neuron"),
    }
)
"""Strategies that put copies of the model on instances, and what those instances compute with.

Only instances with accelerators are planned: what a model does on a CPU is known of this machine
alone, where `pilotage plan calibrate` has measured it."""

_AUTO: Final[Mapping[Computes, str]] = MappingProxyType({"cuda": "vllm", "neuron": "neuron"})
"""What "auto" becomes."""

_DEVICES: Final[Mapping[Computes, str]] = MappingProxyType(
    {"cpu": "CPUs", "cuda": "GPUs", "neuron": "Inferentia and Trainium"}
)
_WORK: Final = MappingProxyType(
    {"generate": "generates text", "embed": "makes embeddings", "predict": "classifies"}
)


def kind_of(accelerator: Accelerator) -> Computes:
    """What engines call such an accelerator."""
    return "neuron" if accelerator.neuron else "cuda"


def engine_on(question: Question, kind: Computes) -> EngineTraits | None:
    """The engine that would run the question's model on such devices; None where none does.

    AWS's own chips run models that were compiled for them. Under "auto" they take part only where
    no GPU may: nobody has published the speeds they are planned with, and a plan should not rest
    on that unasked.
    """
    name = question.engine
    if name == "auto":
        if kind == "neuron" and "ecs-gpu" in question.strategies:
            return None
        name = _AUTO.get(kind, "openvino")
    engine = ENGINES.get(name)
    if engine is None or kind not in engine.devices or question.work not in engine.work:
        return None
    return engine


def without_engine(question: Question) -> Iterator[Option]:
    """The strategies of which no instance has what the engine computes on, with the reason."""
    for strategy, kinds in ON_INSTANCES.items():
        if strategy not in question.strategies:
            continue
        if any(engine_on(question, kind) is not None for kind in kinds):
            continue
        yield Option(
            configuration=Configuration(strategy=strategy),
            obstacles=(_lacking(question, kinds[0]),),
        )


def _lacking(question: Question, kind: Computes) -> Obstacle:
    """Why no engine runs the model on such devices."""
    name, engine = question.engine, ENGINES.get(question.engine)
    does = _WORK[question.work]
    if engine is not None and question.work not in engine.work:
        message, relax = f"{name} is no engine that {does}", "set model.engine to auto"
    elif kind == "neuron":
        message = f"Inferentia and Trainium run compiled models, not {name}"
        relax = "set model.engine to neuron"
        if engine is None:
            message = (
                "models must be compiled for Inferentia and Trainium, whose speed is not measured"
            )
            relax += " to have them planned with priors"
    elif engine is None:
        message = f"no engine that {does} computes on GPUs"
        relax = "set model.engine to neuron to have Inferentia and Trainium planned"
    else:
        computes = " and ".join(_DEVICES[one] for one in engine.devices)
        message = f"{name} computes on {computes}, and these instances have GPUs; instances "
        message += "without accelerators are not planned, as their speed is not measured"
        able = [
            one.name
            for one in ENGINES.values()
            if kind in one.devices and question.work in one.work
        ]
        relax = f"set model.engine to {_either(able)}" if able else "set model.engine to neuron"
        if name == "openvino" and question.work == "generate":
            relax += "; or have this very machine planned: pilotage plan calibrate"
    return Obstacle(limit="engine", message=message, relax=relax)


def _either(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
