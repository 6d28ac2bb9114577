"""How many copies of the model keep the promises at the peak: found by simulation."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pilotage.plan.candidates import Layout
from pilotage.plan.capacity import Capacity
from pilotage.plan.demand import Demand
from pilotage.plan.option import Latencies, Obstacle
from pilotage.plan.question import Question
from pilotage.plan.replay import Recording, replay
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.simulate import Fleet, Simulation, StepTable, simulate
from pilotage.units import format_duration

REQUESTS: Final = 2000
"""Requests of a simulation that only decides; its p99 rests on the slowest 20."""

FINAL_REQUESTS: Final = 8_000
"""Of the one that is reported."""

_MOST_REQUESTS: Final = 20_000
_MOST_COPIES: Final = 2
"""Copies that stand for a large fleet, each with its share of the load. Choosing among more would
spread the load better yet, so a large fleet is planned a little too large, never too small."""

_LIFETIMES: Final = 4.0
"""A simulation lasts so many long requests' lifetimes at least, and throws the first away."""

_FEWER: Final = 1.7
_MORE: Final = 2.5
"""How far the estimate is doubted in either direction."""

_BURSTS: Final = 4
"""How often `_MORE` is tried once more under a trace's bursts."""

_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A layout with its step model and its quick estimate."""

    layout: Layout
    model: RooflineModel
    capacity: Capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What a layout takes to keep the promises.

    Attributes:
        rated: Which.
        copies: Of the model, at the peak.
        capacity: Highest rate, a second, that these copies were seen to hold.
        simulation: At the peak, with these copies.
        obstacles: Promises that no number of copies keeps; then `copies` is the estimate's.
    """

    rated: Rated
    copies: int
    capacity: float
    simulation: Simulation
    obstacles: tuple[Obstacle, ...] = ()


class Sizer:
    """Sizes layouts for one question; step tables are made once a layout.

    Args:
        question: The promises and the workload.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self._tables: dict[tuple[str, str, int, int, int, int], StepTable] = {}
        self._recording = _asked(question)

    def size(self, rated: Rated) -> Sized:
        """The fewest copies that keep the promises at the peak."""
        peak = self.question.demand.busiest_rate
        expected = max(1, math.ceil(peak / rated.capacity.requests_per_s))
        holds, held, failed = self.trial(rated, expected), 0, 0
        runs: dict[int, Simulation] = {expected: holds}
        obstacles = broken_promises(self.question.demand, holds)
        if obstacles:
            failed = expected
            most = expected
            # A burst may be many times the busiest minute's mean, which the estimate is made for.
            for _ in range(_BURSTS if self.question.recording else 1):
                most = max(most + 1, math.ceil(most * _MORE))
                runs[most] = self.trial(rated, most)
                worst = broken_promises(self.question.demand, runs[most])
                if not worst:
                    break
                failed = most
            if worst:
                return Sized(
                    rated=rated,
                    copies=most,
                    capacity=0.0,
                    simulation=runs[most],
                    obstacles=worst,
                )
            held = most
        else:
            held = expected
            failed = max(0, math.floor(expected / _FEWER))
            if failed:
                runs[failed] = self.trial(rated, failed)
                if not broken_promises(self.question.demand, runs[failed]):
                    held, failed = failed, max(0, failed // 2)
        for _ in range(_ROUNDS):
            copies = (held + failed) // 2
            # A fiftieth more or less is within what a simulation of this length can tell.
            if held - failed <= max(1, held // 50) or not copies:
                break
            runs[copies] = self.trial(rated, copies)
            if broken_promises(self.question.demand, runs[copies]):
                failed = copies
            else:
                held = copies
        return Sized(
            rated=rated,
            copies=held,
            capacity=peak,
            simulation=runs[held],
        )

    def confirm(self, sized: Sized, *, headroom: bool = True) -> Sized:
        """The same with a longer simulation; with a copy more where that finds it short.

        Args:
            sized: What `size` found.
            headroom: Whether to find out what the copies would carry beyond the peak, too.
        """
        copies = sized.copies
        simulation = sized.simulation
        for _ in range(4):
            # A trace has no more to show than it did.
            if not self.question.recording or copies != sized.copies:
                simulation = self.trial(sized.rated, copies, FINAL_REQUESTS)
            if not (obstacles := broken_promises(self.question.demand, simulation)):
                break
            copies += max(1, copies // 40)
        return dataclasses.replace(
            sized,
            copies=copies,
            simulation=simulation,
            obstacles=obstacles,
            capacity=self._highest(sized.rated, copies) if headroom else sized.capacity,
        )

    def _highest(self, rated: Rated, copies: int) -> float:
        """The highest rate that keeps the promises, to a twentieth."""
        demand = self.question.demand
        low = high = demand.busiest_rate
        for _ in range(3):
            high = 1.5 * low
            if broken_promises(demand, self.trial(rated, copies, rate=high)):
                break
            low = high
        while high > 1.05 * low:
            middle = (low * high) ** 0.5
            if broken_promises(demand, self.trial(rated, copies, rate=middle)):
                high = middle
            else:
                low = middle
        return low

    def trial(
        self, rated: Rated, copies: int, requests: int = REQUESTS, rate: float | None = None
    ) -> Simulation:
        """So many copies at the peak, or at another rate; under the trace, where there is one."""
        question, limits = self.question, rated.layout.memory.limits
        total = question.demand.busiest_rate if rate is None else rate
        together = min(copies, _MOST_COPIES)
        offered = total * together / copies
        step = rated.capacity.step_s
        lifetime = step * (2 + question.completion_p99)
        table = self._table(rated)
        if self._recording is not None:
            played = replay(
                self._recording,
                speed=total / self._recording.peak,
                share=together / copies,
                around_s=lifetime,
                seed=question.seed,
                images=question.demand.images,
                image_tokens=question.demand.images * question.image_tokens,
            )
            return simulate(
                played.requests,
                table,
                limits,
                Fleet(replicas=together),
                warm_up_s=played.warm_up_s,
                judged_until_s=played.judged_until_s,
                exact=True,
            )
        warm_up = lifetime
        wanted = max(requests, math.ceil(offered * _LIFETIMES * lifetime))
        duration = min(wanted, _MOST_REQUESTS) / offered + warm_up
        return simulate(
            dataclasses.replace(sustained(question), rate=offered, peak=offered),
            table,
            limits,
            Fleet(replicas=together),
            duration_s=duration,
            seed=question.seed,
            image_tokens=question.image_tokens,
            warm_up_s=min(warm_up, duration / 2),
        )

    def _table(self, rated: Rated) -> StepTable:
        key, question = rated.layout.key, self.question
        if key not in self._tables:
            self._tables[key] = StepTable(
                rated.model,
                rated.layout.memory.limits,
                prompt=question.prompt_mean,
                completion=question.completion_mean,
            )
        return self._tables[key]


def _asked(question: Question) -> Recording | None:
    """The trace as it is computed: without what a prefix cache holds, an encoder's answers one."""
    recording = question.recording
    if recording is not None and question.assumptions.cached_share:
        recording = recording.cached(question.assumptions.cached_share)
    if recording is not None and question.anatomy.encoder:
        recording = dataclasses.replace(recording, completion=np.ones_like(recording.completion))
    return recording


def sustained(question: Question) -> Demand:
    """The demand of the busiest minutes as if they lasted: independent arrivals at the peak.

    What a prefix cache holds of a prompt is not read again.
    """
    demand, cached = question.demand, question.assumptions.cached_share
    shape: Literal["batch", "steady"] = "batch" if demand.shape == "batch" else "steady"
    prompt, completion = demand.prompt, demand.completion
    if cached:
        prompt = dataclasses.replace(
            prompt, p50=max(1, prompt.p50 * (1 - cached)), p99=max(1, prompt.p99 * (1 - cached))
        )
    if question.anatomy.encoder:
        completion = dataclasses.replace(completion, p50=1, p99=1)
    return dataclasses.replace(demand, shape=shape, prompt=prompt, completion=completion)


def broken_promises(demand: Demand, simulation: Simulation) -> tuple[Obstacle, ...]:
    """Promises that a simulation breaks."""
    rows: tuple[tuple[str, float | None, Latencies | None], ...] = (
        ("ttft_p99", demand.ttft_p99, simulation.ttft),
        ("tpot_p99", demand.tpot_p99, simulation.tpot),
        ("e2e_p99", demand.e2e_p99, simulation.e2e),
    )
    found = []
    for name, promised, latencies in rows:
        if promised is None or latencies is None or latencies.p99 <= promised:
            continue
        metric = name.partition("_")[0].upper()
        found.append(
            Obstacle(
                limit=name,
                message=f"{metric} of {format_duration(latencies.p99, digits=3)} at p99 in the "
                f"busiest minutes; {format_duration(promised)} are promised",
                relax=f"promise {name}: {format_duration(latencies.p99, digits=3)}",
                shortfall=latencies.p99 / promised,
            )
        )
    if simulation.requests_per_s < 0.9 * simulation.requests / max(1e-9, simulation.offered_s):
        found.append(
            Obstacle(
                limit="throughput",
                message="requests come faster than they are answered",
                relax="more copies, or shorter requests",
                shortfall=simulation.requests
                / max(1e-9, simulation.offered_s)
                / max(1e-9, simulation.requests_per_s),
            )
        )
    return tuple(found)
