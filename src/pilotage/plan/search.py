"""The search: of every instance type, number format, split and strategy, the cheapest that does.

1. Every layout of one copy (`pilotage.plan.candidates`) is held against memory, against the
   hardware's floor, and gets a quick estimate of what it can carry (`pilotage.plan.capacity`).
2. The layouts are simulated in the order of what they are estimated to cost, each with as many
   copies as it takes (`pilotage.plan.sizing`), until the rest cannot be cheaper.
3. Each sized layout becomes an option on the cheapest instance types that hold it, in every
   strategy; each strategy's own limits and the budget have their say (`pilotage.plan.offers`).
4. The cheapest that nothing stands in the way of is simulated once more, for longer.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pilotage import __version__
from pilotage.catalog.prices import PriceBook
from pilotage.plan.calibration import efficiency_for
from pilotage.plan.candidates import Layout, Machine, layouts, machines, precisions
from pilotage.plan.capacity import Capacity, capacity_of
from pilotage.plan.engine_choice import ON_INSTANCES, without_engine
from pilotage.plan.floors import floor_obstacles
from pilotage.plan.memory import weights_of
from pilotage.plan.offers import Offers
from pilotage.plan.option import Obstacle, Option, Strategy
from pilotage.plan.question import Question, check
from pilotage.plan.report.wording import label
from pilotage.plan.result import (
    Curve,
    ModelFacts,
    Note,
    ParetoPoint,
    Plan,
    StatedError,
    worst_shortfall,
)
from pilotage.plan.roofline import RooflineModel, image_patches
from pilotage.plan.sizing import Rated, Sized, Sizer
from pilotage.plan.stated_errors import stated_errors
from pilotage.plan.strategies import Circumstances, judge_tree, notes_of, walk_tree
from pilotage.units import format_size

MOST_SIMULATED: Final = 6
"""Layouts that are simulated at most."""

_MACHINES_A_LAYOUT: Final = 3
_RUNNERS_UP: Final = 8
_SURELY_DEARER: Final = 1.4
"""An estimate is trusted this far: a layout whose estimated cost is so many times that of a
simulated one is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A layout that needs no simulation."""

    layout: Layout
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An option and what it was made of; of a provider's, nothing."""

    option: Option
    sized: Sized | None = None
    machine: Machine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that a search came to know, for those who go on with it.

    Attributes:
        plan: The answer.
        judged: Every option with its simulation.
        rated: Every layout that fits, with its estimate.
        chosen: What the plan chose.
        offers: Of the question.
        sizer: With the step tables that were made.
    """

    plan: Plan
    judged: tuple[Judged, ...]
    rated: tuple[Rated, ...]
    chosen: Judged | None
    offers: Offers
    sizer: Sizer


def search(
    question: Question,
    prices: PriceBook,
    *,
    extra: Iterable[Option] = (),
    now: datetime | None = None,
) -> Found:
    """The cheapest deployment that fits, keeps every promise and stays within the budget.

    Args:
        question: What is asked.
        prices: Of the region.
        extra: Options that were judged elsewhere, such as this very machine.
        now: When; for the plan's date.

    Raises:
        SpecError: The question contradicts itself.
        UsageError: A figure makes no sense.
    """
    began = time.perf_counter()
    check(question)
    offers, sizer = Offers(question, prices), Sizer(question)
    rated, misfits = rate(question)
    sized = _simulated(question, offers, sizer, rated)
    judged = [
        *(one for each in sized for one in _options(offers, each)),
        *(Judged(option=offers.provided(one)) for one in _provided(question)),
        *(Judged(option=one) for one in without_engine(question)),
        *(Judged(option=one) for one in extra),
    ]
    judged, chosen = _chosen(offers, sizer, judged)
    nearest = _misfits(offers, misfits)
    plan = dataclasses.replace(
        _plan(offers, judged, chosen, nearest),
        created_at=now or datetime.now(UTC),
        considered=len(judged) + len(misfits) + len(rated) - len(sized),
        seconds=time.perf_counter() - began,
    )
    return Found(
        plan=plan,
        judged=tuple(judged),
        rated=tuple(rated),
        chosen=chosen,
        offers=offers,
        sizer=sizer,
    )


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
            message=f"{name} of a lone request is expected to be {_seconds(takes)}; "
            f"{_seconds(promised)} are promised",
            relax=f"promise {_seconds(takes)} or more, or take faster hardware",
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


def _hosts(offers: Offers, layout: Layout) -> list[Machine]:
    """Machines that hold a copy, by their price an hour a copy."""
    able = [
        one
        for one in machines()
        if one.accelerator is layout.accelerator
        and one.count >= layout.accelerators
        and offers.strategies(one)
    ]

    def each(machine: Machine) -> tuple[bool, float]:
        unknown, hourly = offers.rank(machine)
        return unknown, hourly / (machine.count // layout.accelerators)

    return sorted(able, key=each)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What so many copies cost on a machine; `unknown` when its price is a guess for the order."""

    unknown: bool
    usd_per_hour: float
    machine: Machine


def _cheapest(offers: Offers, layout: Layout, copies: int) -> list[_Row]:
    """A row each machine that holds a copy, the cheapest first, guesses last."""
    rows = []
    for machine in _hosts(offers, layout):
        unknown, hourly = offers.rank(machine)
        cost = hourly * offers.instances(layout, machine, copies)
        rows.append(_Row(unknown=unknown, usd_per_hour=cost, machine=machine))
    return sorted(rows, key=lambda row: (row.unknown, row.usd_per_hour))


def _simulated(question: Question, offers: Offers, sizer: Sizer, rated: list[Rated]) -> list[Sized]:
    peak = question.demand.busiest_rate
    queue: list[tuple[_Row, Rated]] = []
    for one in rated:
        copies = max(1, math.ceil(peak / one.capacity.requests_per_s))
        rows = _cheapest(offers, one.layout, copies)
        if rows:
            queue.append((rows[0], one))
    queue.sort(key=lambda row: (row[0].unknown, row[0].usd_per_hour))
    found: list[Sized] = []
    best = math.inf
    for expected, one in queue:
        dearer = expected.unknown or expected.usd_per_hour > _SURELY_DEARER * best
        if (dearer and best < math.inf) or len(found) >= MOST_SIMULATED:
            break
        sized = sizer.size(one)
        found.append(sized)
        row = _cheapest(offers, one.layout, sized.copies)[0]
        if not sized.obstacles and not row.unknown:
            best = min(best, row.usd_per_hour)
    return found


def _options(offers: Offers, sized: Sized) -> Iterable[Judged]:
    layout = sized.rated.layout
    for row in _cheapest(offers, layout, sized.copies)[:_MACHINES_A_LAYOUT]:
        for strategy in offers.strategies(row.machine):
            option = offers.sized(sized, row.machine, strategy)
            yield Judged(option=option, sized=sized, machine=row.machine)


def _provided(question: Question) -> Iterable[Strategy]:
    return (one for one in question.strategies if one not in ON_INSTANCES)


def _chosen(
    offers: Offers, sizer: Sizer, judged: list[Judged]
) -> tuple[list[Judged], Judged | None]:
    """The cheapest feasible one, seen to hold in a long simulation."""
    confirmed: set[int] = set()
    while True:
        judged.sort(key=_order)
        first = next((one for one in judged if one.option.feasible), None)
        if first is None or first.sized is None or id(first.sized) in confirmed:
            return judged, first
        sure = sizer.confirm(first.sized)
        confirmed.add(id(sure))
        old = first.sized
        judged = [one for one in judged if one.sized is not old]
        judged += _options(offers, sure)


def _order(one: Judged) -> tuple[bool, float, int]:
    """Feasible before infeasible, cheap before dear; of equals, what keeps itself alive."""
    cost = one.option.cost.usd_per_month if one.option.cost else math.inf
    return not one.option.feasible, cost, one.option.configuration.strategy == "machine"


def _misfits(offers: Offers, misfits: list[Misfit]) -> list[Option]:
    """Each layout that does not do, on the smallest machine that would hold it."""
    found = []
    for misfit in misfits:
        hosts = _hosts(offers, misfit.layout)
        if not hosts:
            continue
        strategy = next(
            (one for one in offers.strategies(hosts[0]) if one != "machine"),
            offers.strategies(hosts[0])[0],
        )
        found.append(offers.misfit(misfit.layout, hosts[0], strategy, misfit.obstacles))
    return found


def _plan(
    offers: Offers, judged: list[Judged], chosen: Judged | None, misfits: list[Option]
) -> Plan:
    question = offers.question
    option = chosen.option if chosen else None
    feasible = [one.option for one in judged if one.option.feasible]
    infeasible = [one.option for one in judged if not one.option.feasible] + misfits
    infeasible.sort(key=worst_shortfall)
    circumstances = Circumstances(
        model=question.model,
        custom_weights=question.custom_weights,
        weights_bytes=round(weights_of(question.anatomy, precisions(question)[0]).total),
        bedrock=question.assumptions.bedrock,
    )
    path = walk_tree(question.demand, question.anatomy, circumstances)
    leaf = next(
        (one.option for one in judged if one.option.configuration.strategy == path.strategy), None
    )
    return Plan(
        name=question.name,
        created_at=datetime.now(UTC),
        pilotage=__version__,
        model=ModelFacts.of(question.anatomy, question.max_model_len),
        demand=question.demand,
        chosen=option,
        runners_up=tuple(one for one in feasible if one is not option)[:_RUNNERS_UP],
        infeasible=tuple(infeasible),
        tree=judge_tree(path, option, leaf),
        pareto=tuple(_pareto(judged, option)),
        curves=_curves(chosen),
        errors=_errors(question, chosen),
        notes=tuple(_notes(question, chosen, circumstances)),
        region=offers.prices.region,
    )


def _pareto(judged: list[Judged], chosen: Option | None) -> Iterable[ParetoPoint]:
    for one in judged:
        option = one.option
        if option.cost is None or option.estimate is None or option.estimate.e2e is None:
            continue
        yield ParetoPoint(
            label=label(option.configuration),
            strategy=option.configuration.strategy,
            usd_per_month=option.cost.usd_per_month,
            e2e_p99_s=option.estimate.e2e.p99,
            feasible=option.feasible,
            chosen=option is chosen,
        )


def _errors(question: Question, chosen: Judged | None) -> tuple[StatedError, ...]:
    source = chosen.sized.rated.model.efficiency.source if chosen and chosen.sized else ""
    return stated_errors(
        chosen.option if chosen else None,
        measured=source.startswith("fitted"),
        mixture=any(group.feed_forward.experts for group in question.anatomy.layers),
    )


def _curves(chosen: Judged | None) -> tuple[Curve, ...]:
    if chosen is None or chosen.sized is None:
        return ()
    run = chosen.sized.simulation
    return tuple(
        Curve(metric=metric, points=points)
        for metric in ("ttft", "tpot", "e2e")
        if (points := run.cdf(metric))
    )


def _notes(
    question: Question, chosen: Judged | None, circumstances: Circumstances
) -> Iterable[Note]:
    demand = question.demand
    for text in question.notes:
        yield Note(text=text)
    if demand.peak > demand.rate and demand.shape != "batch":
        yield Note(
            text=f"Latencies are those of the busiest minutes, at the peak of {demand.peak:g}/s; "
            "at the average rate they are better."
        )
    if chosen is None or chosen.option.cost is None:
        return
    one = chosen.option.configuration
    for text in notes_of(one, demand, circumstances):
        yield Note(text=text[:1].upper() + text[1:] + ".")
    if chosen.sized is None:
        return
    eff = chosen.sized.rated.model.efficiency
    yield Note(text=f"Speed of {chosen.sized.rated.layout.accelerator.title}", source=eff.source)
    if demand.shape == "spiky" and one.max_count == one.count > 1 and demand.peak > demand.rate:
        yield Note(
            text="The peak's capacity stays up: bursts of "
            f"{_seconds(question.assumptions.burst_s)} are over before an instance has started. "
            "If busy phases last hours, say so with --assume burst=2h."
        )
    if one.precision is not None and question.dtype == "auto":
        stored = question.anatomy.stored
        if stored is not None and one.precision.name not in (stored.name, "fp16", "bf16"):
            yield Note(
                text=f"Weights become {one.precision.name} when they are loaded; "
                "--assume quality=stored keeps what the files hold."
            )
    if one.strategy == "machine":
        yield Note(text="One machine has no stand-in: while it restarts nobody is served.")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _size(size: float) -> str:
    return format_size(round(max(0.0, size)), digits=3)
