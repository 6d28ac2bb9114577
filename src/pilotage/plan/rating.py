"""Every layout held against memory, the hardware's floor and the promises to a lone request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pilotage.plan.calibration import efficiency_for
from pilotage.plan.candidates import Layout, layouts
from pilotage.plan.capacity import Capacity, capacity_of
from pilotage.plan.floors import floor_obstacles
from pilotage.plan.option import Obstacle
from pilotage.plan.question import Question
from pilotage.plan.report.wording import in_seconds
from pilotage.plan.roofline import RooflineModel, image_patches
from pilotage.plan.sizing import Rated
from pilotage.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A layout that needs no simulation."""

    layout: Layout
    obstacles: tuple[Obstacle, ...]


def rate(question: Question) -> tuple[list[Rated], list[Misfit]]:
    """Every layout: those that could carry something, with the best of their engine settings."""
    best: dict[tuple[str, str, int, int], Rated | Misfit] = {}
    models: dict[tuple[str, str, int, int], RooflineModel] = {}
    for layout in layouts(question):
        key = layout.key[:4]
        if key not in models:
            models[key] = step_model(question, layout)
        found = _rated(question, layout, models[key])
        if key not in best or _better(found, best[key]):
            best[key] = found
    return (
        [one for one in best.values() if isinstance(one, Rated)],
        [one for one in best.values() if isinstance(one, Misfit)],
    )


def step_model(question: Question, layout: Layout) -> RooflineModel:
    """What steps of this layout take."""
    anatomy, demand = question.anatomy, question.demand
    vision = anatomy.vision if demand.images else None
    engine = "vllm"
    return RooflineModel(
        anatomy,
        layout.precision,
        layout.accelerator,
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        efficiency=efficiency_for(layout.accelerator, layout.precision, engine=engine),
        images=demand.images,
        image_patches=image_patches(vision, demand.image_width, demand.image_height)
        if vision
        else None,
    )


def memory_obstacle(layout: Layout) -> Obstacle:
    """What is lacking before one longest sequence fits."""
    memory = layout.memory
    held = {term.name: term.value for term in memory.terms.terms}
    longest = memory.sequence_bytes(memory.max_model_len)
    needed = memory.budget_bytes + memory.shortfall_bytes
    return Obstacle(
        limit="memory",
        message=f"{_size(held.get('weights', 0.0))} of weights in {layout.precision.name} and "
        f"{_size(longest)} of cache for one sequence of {memory.max_model_len:,} tokens, with "
        f"what the engine needs besides, take {_size(needed)} of each "
        f"{layout.accelerator.title}; {_size(memory.budget_bytes)} may be used",
        relax="spread it over more accelerators, take fewer bits a weight, or a smaller "
        "max_model_len",
        shortfall=needed / memory.budget_bytes,
    )


def _rated(question: Question, layout: Layout, model: RooflineModel) -> Rated | Misfit:
    if not layout.memory.fits:
        return Misfit(layout=layout, obstacles=(memory_obstacle(layout),))
    if obstacles := floor_obstacles(question, layout, model):
        return Misfit(layout=layout, obstacles=obstacles)
    capacity = capacity_of(question, layout, model)
    if capacity.requests_per_s <= 0:
        return Misfit(layout=layout, obstacles=tuple(_alone(capacity)))
    return Rated(layout=layout, model=model, capacity=capacity)


def _alone(capacity: Capacity) -> Iterable[Obstacle]:
    for name, takes, promised in capacity.alone:
        if not promised:
            yield Obstacle(limit="memory", message="the KV cache holds no request of mean length")
            continue
        yield Obstacle(
            limit=name,
            message=f"{name} of a lone request is expected to be {in_seconds(takes)}; "
            f"{in_seconds(promised)} are promised",
            relax=f"promise {in_seconds(takes)} or more, or take faster hardware",
            shortfall=takes / promised,
        )


def _better(one: Rated | Misfit, other: Rated | Misfit) -> bool:
    """By a per cent at least: of settings that are alike, the first, which holds fewer at once."""
    if isinstance(one, Rated) and isinstance(other, Rated):
        return one.capacity.requests_per_s > 1.01 * other.capacity.requests_per_s
    if isinstance(one, Misfit) and isinstance(other, Misfit):
        return _worst(one) < _worst(other)
    return isinstance(one, Rated)


def _worst(misfit: Misfit) -> tuple[bool, float]:
    """What fits in memory has come further than what does not, whatever else it breaks."""
    memory = any(one.limit == "memory" for one in misfit.obstacles)
    return memory, max(one.shortfall for one in misfit.obstacles)


def _size(size: float) -> str:
    return format_size(round(max(0.0, size)), digits=3)
