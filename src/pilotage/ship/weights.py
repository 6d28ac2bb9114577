"""How many bytes a container fetches before it can answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.instances import Instance
from pilotage.plan.memory import weights_of
from pilotage.plan.precision import PRECISIONS, canonical_name, native_precision
from pilotage.spec import EMBEDDED_SOURCE, ModelSpec
from pilotage.spec.plan_file import PlanFile

EMBEDDED_BYTES: Final = 98_362_432
"""Of the embedded model's one file, measured."""


@dataclass(frozen=True, slots=True)
class WeightsSize:
    """A number of bytes and where it is from."""

    bytes: int
    origin: str


def stored_weights(
    model: ModelSpec, plan: PlanFile | None, instance: Instance | None
) -> WeightsSize:
    """The bytes of the weights as they are stored, by the best that is known.

    What runs in fp8 may be fetched in bf16, so the model's own format counts and not the plan's:
    the file itself, else the model's anatomy, else the parameters in the plan, else the plan's
    memory. Where nothing is known, the memory of the instance's accelerators bounds it.
    """
    local = model.local_path
    if local is not None and local.exists():
        return WeightsSize(_bytes_of(local), f"the size of {local.name}")
    if model.source == EMBEDDED_SOURCE:
        return WeightsSize(EMBEDDED_BYTES, "the embedded model's file")
    return _of_plan(model, plan) or _at_most(instance)


def _of_plan(model: ModelSpec, plan: PlanFile | None) -> WeightsSize | None:
    """From the model's anatomy, else from what the plan says of the model and its memory."""
    about = _extra(plan, "model")
    name = str(about.get("name") or _hub_name(model))
    anatomy = known_anatomy(name)
    if anatomy is not None:
        precision = native_precision(anatomy)
        size = round(weights_of(anatomy, precision).total)
        shown = f"{anatomy.parameters:,} parameters of {name}, stored in {precision.name}"
        return WeightsSize(size, shown)
    parameters, stored = about.get("parameters"), canonical_name(str(about.get("stored") or "bf16"))
    if isinstance(parameters, int) and parameters > 0:
        bits = PRECISIONS[stored].weight_bits if stored in PRECISIONS else 16
        size = max(round(parameters * bits / 8), _in_memory(plan))
        return WeightsSize(size, f"{parameters:,} parameters of the plan x {bits:g} bits / 8")
    if held := _in_memory(plan):
        return WeightsSize(held, "weights in the plan's memory, all ranks")
    return None


def _at_most(instance: Instance | None) -> WeightsSize:
    """The bound where nothing is known of a model: what its engine could hold."""
    if instance is not None:
        accelerator = instance.accelerator
        room = (
            accelerator.count * accelerator.memory_bytes if accelerator else instance.memory_bytes
        )
        return WeightsSize(room, f"not known; at most the model memory of {instance.name}")
    return WeightsSize(0, "not known")


def _in_memory(plan: PlanFile | None) -> int:
    """Weights of all ranks, from the terms of the plan's memory; 0 where it does not say."""
    if plan is None:
        return 0
    terms = _extra(plan, "memory").get("terms")
    of_rank = next(
        (
            one["value"]
            for one in (terms if isinstance(terms, list) else ())
            if isinstance(one, dict)
            and one.get("name") == "weights"
            and isinstance(one.get("value"), int | float)
        ),
        0,
    )
    chosen = plan.deployment
    return round(of_rank * chosen.tensor_parallel * chosen.pipeline_parallel)


def _extra(plan: PlanFile | None, name: str) -> dict[str, Any]:
    """A further key of the plan file: the planner's reasons."""
    found = (plan.model_extra or {}).get(name) if plan is not None else None
    return found if isinstance(found, dict) else {}


def _hub_name(model: ModelSpec) -> str:
    path = model.source.removeprefix("swarm://").removeprefix("hf://")
    return "/".join(path.split("#")[0].split("?")[0].split("@")[0].split("/")[:2])


def _bytes_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
