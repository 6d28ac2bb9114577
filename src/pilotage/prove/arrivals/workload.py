"""The arrivals that a spec's workload stands for."""

from __future__ import annotations

from dataclasses import replace

from pilotage.prove.arrivals.bounds import show_duration, show_rate
from pilotage.prove.arrivals.processes import constant, gamma, poisson
from pilotage.prove.load import Schedule
from pilotage.spec import WorkloadSpec

_SPIKY_BURSTINESS = 0.25
"""Gaps whose standard deviation is twice their mean: requests in clumps of several."""


def for_workload(
    workload: WorkloadSpec, duration_s: float, seed: int, rate: float | None = None
) -> Schedule:
    """The schedule that puts ``workload`` to the test.

    Steady work is Poisson and spiky work gamma with burstiness 0.25, both at the spec's peak: a
    promise about the 99th percentile breaks in the busiest minutes. Batch work may wait, so it
    comes evenly, at the average rate.

    Args:
        workload: The spec's.
        duration_s: Seconds during which requests are due.
        seed: A whole number from 0; another one gives other arrivals.
        rate: Requests a second instead of the spec's.

    Raises:
        UsageError: An argument cannot be used, or the schedule came out empty or too long.
    """
    arrivals = workload.arrivals
    batch = arrivals.shape == "batch"
    spec_rate = arrivals.rate if batch else arrivals.peak
    used = spec_rate if rate is None else rate
    if batch:
        process, schedule = "constant", constant(used, duration_s)
    elif arrivals.shape == "spiky":
        process = f"gamma, burstiness {_SPIKY_BURSTINESS:g}"
        schedule = gamma(used, duration_s, _SPIKY_BURSTINESS, seed)
    else:
        process, schedule = "Poisson", poisson(used, duration_s, seed)
    named = "rate" if batch or arrivals.peak == arrivals.rate else "peak"
    why = (
        f"the spec's {named}"
        if rate is None
        else f"as given; the spec's {named} is {show_rate(spec_rate)}"
    )
    return replace(
        schedule,
        description=f"{process}, {show_rate(used)} ({why}) for {show_duration(duration_s)}",
    )
