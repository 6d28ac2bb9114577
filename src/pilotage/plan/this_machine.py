"""This very machine as an option, by its own calibration."""

from __future__ import annotations

import dataclasses

from pilotage.catalog.prices import PriceBook
from pilotage.plan.candidates import Layout
from pilotage.plan.capacity import capacity_of
from pilotage.plan.cost import Operation
from pilotage.plan.floors import floor_obstacles
from pilotage.plan.host import HostCalibration, host_precision
from pilotage.plan.memory.cpu import memory_of_cpu
from pilotage.plan.offers import Offers, estimate_of
from pilotage.plan.option import Configuration, Estimate, Obstacle, Option
from pilotage.plan.question import Question
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.sizing import Rated, Sized, Sizer, broken_promises
from pilotage.units import format_size

BATCHED_TOKENS = 512
"""Tokens a step of the embedded engine, when nothing says otherwise."""


def on_this_machine(
    question: Question,
    host: HostCalibration,
    prices: PriceBook,
    memory_fraction: float = 0.6,
) -> Option | None:
    """The model under the embedded engine, here.

    Args:
        question: What is asked.
        host: What `pilotage plan calibrate` found.
        prices: With ``machine:hour``, what this machine costs; unknown is an obstacle.
        memory_fraction: Share of the free memory for the cache, as serving has it.

    Returns:
        The option, judged; None where the strategy or the engine is another, or the model is not
        one that the embedded engine generates with.
    """
    anatomy = question.anatomy
    if "machine" not in question.strategies or question.engine not in ("auto", "openvino"):
        return None
    if anatomy.encoder or anatomy.vision is not None:
        return None
    layout, model = host_layout(question, host, memory_fraction)
    configuration = Configuration(
        strategy="machine",
        engine="openvino",
        precision=layout.precision,
        limits=layout.memory.limits,
    )
    if not layout.memory.fits:
        return Option(configuration=configuration, obstacles=(_memory(layout),))
    obstacles: tuple[Obstacle, ...] = floor_obstacles(question, layout, model)
    capacity = capacity_of(question, layout, model)
    estimate: Estimate | None = None
    if capacity.requests_per_s > 0:
        rated = Rated(layout=layout, model=model, capacity=capacity)
        simulation = Sizer(question).trial(rated, 1)
        obstacles += broken_promises(question.demand, simulation)
        estimate = dataclasses.replace(
            estimate_of(
                question,
                Sized(
                    rated=rated,
                    copies=1,
                    capacity=max(capacity.requests_per_s, 0.0)
                    if obstacles
                    else max(capacity.requests_per_s, question.demand.busiest_rate),
                    simulation=simulation,
                ),
            ),
            relative_error={"ttft": host.error, "tpot": host.error, "e2e": host.error},
        )
    elif not obstacles:
        obstacles = tuple(
            Obstacle(
                limit=name,
                message=f"a lone request is expected to take {takes:.3g} s here; "
                f"{promised:.3g} s are promised",
                relax=f"promise {takes:.3g} s or more",
                shortfall=takes / promised if promised else float("inf"),
            )
            for name, takes, promised in capacity.alone
        )
    return Offers(question, prices).priced(configuration, estimate, obstacles, Operation())


def host_layout(
    question: Question, host: HostCalibration, memory_fraction: float
) -> tuple[Layout, RooflineModel]:
    """How the model lies in this machine's memory, and what its steps take."""
    anatomy = question.anatomy
    precision = host_precision(anatomy)
    memory = memory_of_cpu(
        anatomy,
        precision,
        host.device.memory_bytes,
        memory_fraction=memory_fraction,
        max_model_len=question.max_model_len,
        max_num_batched_tokens=BATCHED_TOKENS,
    )
    layout = Layout(
        accelerator=host.device,
        precision=precision,
        tensor_parallel=1,
        pipeline_parallel=1,
        memory=memory,
    )
    model = RooflineModel(anatomy, precision, host.device, efficiency=host.efficiency)
    return layout, model


def _memory(layout: Layout) -> Obstacle:
    memory = layout.memory
    needed = memory.budget_bytes + memory.shortfall_bytes
    return Obstacle(
        limit="memory",
        message=f"weights, runtime and one longest sequence take "
        f"{format_size(round(needed), digits=3)}; this machine had "
        f"{format_size(round(memory.budget_bytes), digits=3)} free",
        relax="free memory, take a smaller model, or a smaller max_model_len",
        shortfall=needed / memory.budget_bytes,
    )
