"""Simulate a workload on a fleet: the one call that the planner makes."""

from __future__ import annotations

from typing import Final

import numpy as np

from pilotage.errors import UsageError
from pilotage.plan.demand import Demand
from pilotage.plan.simulate import sequential, windows
from pilotage.plan.simulate.admission import Admission
from pilotage.plan.simulate.arrivals import from_demand
from pilotage.plan.simulate.fleet import Fleet
from pilotage.plan.simulate.requests import Requests
from pilotage.plan.simulate.result import Simulation, summarise
from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits, StepModel

_WORTH_WINDOWS: Final = 30_000
"""Requests from which arrays beat a loop."""

_LIFETIMES: Final = 3.0
"""A first guess at how many long requests' lifetimes a replica remembers; `windows` checks it."""


def simulate(
    workload: Demand | Requests,
    step_model: StepModel | StepTable,
    limits: EngineLimits,
    fleet: Fleet | None = None,
    *,
    duration_s: float = 600.0,
    seed: int = 0,
    rate: float | None = None,
    image_tokens: int = 0,
    admission_ttft_s: float | None = None,
    warm_up_s: float = 0.0,
    judged_until_s: float | None = None,
    exact: bool = False,
) -> Simulation:
    """Play a workload through replicas that batch continuously.

    Args:
        workload: A demand, from which requests are drawn, or the requests themselves.
        step_model: What a step takes, on one replica. Tabulated once; give a `StepTable` to
            use one several times.
        limits: What one replica may hold.
        fleet: One replica if not given.
        duration_s: Seconds during which requests arrive; not used with `Requests`.
        seed: Another one gives other requests and other interruptions.
        rate: Mean requests a second instead of the demand's.
        image_tokens: Tokens that an image adds to a prompt, of a demand with images.
        admission_ttft_s: The time to first token that the gateway promises: it refuses what it
            expects to be later than half of it. None takes everybody.
        warm_up_s: Requests that arrive earlier are simulated and not judged.
        judged_until_s: Likewise those that arrive later; None to judge them all.
        exact: Simulate time in one piece even where windows side by side are faster.

    Raises:
        UsageError: Numbers that make no workload, or lengths that no replica holds.
    """
    fleet = fleet or Fleet()
    requests = (
        workload
        if isinstance(workload, Requests)
        else from_demand(workload, duration_s, seed, rate=rate, image_tokens=image_tokens)
    ).within(limits)
    if not 0 <= warm_up_s < max(requests.duration_s, 1e-12):
        raise UsageError(f"got {warm_up_s:g} s", where="warm_up_s")
    table = (
        step_model
        if isinstance(step_model, StepTable)
        else StepTable(
            step_model,
            limits,
            prompt=float(requests.prompt.mean()),
            completion=float(requests.completion.mean()),
        )
    )
    outcome = None
    if not exact and fleet.fixed and admission_ttft_s is None and len(requests) >= _WORTH_WINDOWS:
        relaxation, step = relaxation_s(requests, table, fleet.replicas)
        outcome = windows.run(requests, table, limits, fleet, relaxation_s=relaxation, step_s=step)
    if outcome is None:
        admission = (
            None
            if admission_ttft_s is None
            else Admission(admission_ttft_s, table, requests.prompt, requests.completion)
        )
        outcome = sequential.run(requests, table, limits, fleet, seed=seed, admission=admission)
    return summarise(requests, outcome, table.error(), warm_up_s, judged_until_s)


def relaxation_s(requests: Requests, table: StepTable, replicas: int) -> tuple[float, float]:
    """Seconds after which a replica that keeps up has about forgotten the past; seconds a step.

    Three lifetimes of a long request (99th percentile) in the batch that Little's law expects:
    ``seqs = rate x completion x step(seqs)``, found by repetition.
    """
    rate = len(requests) / max(requests.duration_s, 1e-12) / replicas
    prompt, completion = float(requests.prompt.mean()), float(requests.completion.mean())
    seqs = 1
    for _ in range(20):
        step = table.decode_s[seqs] + table.decode_s_a_token[seqs] * seqs * (
            prompt + completion / 2
        )
        seqs = min(table.max_seqs, max(1, round(rate * completion * step)))
    chunk = int(min(prompt, table.max_tokens - 1)) or 1
    own = table.step_s(chunk, chunk * (chunk + 1) / 2, 0, 0, 0) * prompt / chunk
    longest = float(np.quantile(requests.completion, 0.99))
    step += own * min(1.0, rate * step)
    return _LIFETIMES * (own + longest * step), step
