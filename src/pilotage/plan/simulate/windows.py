"""A long time cut into windows that are simulated side by side.

A replica forgets: what it does now hardly depends on what arrived long ago, as long as it keeps up
with its work. So the hour is cut into windows; each begins empty, some time before the window,
with the arrivals of that time, and goes on after it until the window's requests have ended. Every
request is counted once, in its own window. (Time-parallel simulation with warm-up: Fujimoto,
Parallel Discrete Event Simulation, CACM 33, 1990; the warm-up is that of the replication and
deletion method, Law, Simulation Modeling and Analysis, chapter 9.)

Whether the warm-up was long enough is measured: at each border the number of requests in progress
is seen by the window that ends, with a long past, and by the one that begins, with a short one. If
the second sees fewer by more than a per cent, warm-ups are lengthened and the run is repeated; in
the last resort, as under overload, time is one piece and nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.plan.simulate.cells import CellRequests, Cells
from pilotage.plan.simulate.fleet import Fleet
from pilotage.plan.simulate.outcome import Outcome
from pilotage.plan.simulate.requests import Floats, Ints, Requests
from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import EngineLimits

TOLERATED_BIAS: Final = 0.01
"""Of the mean number of requests in progress."""

_WARM_UPS_A_WINDOW: Final = 4
"""A window is so many times as long as its warm-up: a fifth of the work is thrown away."""

_MOST_LANES: Final = 48_000
"""Beyond, arrays leave the processor's cache and nothing is won."""

_ROUND_S, _EVENT_S, _LOOP_S = 300e-6, 0.45e-6, 9e-6
"""Rough costs, measured: a round of array operations, each event in it, a request in the loop.
They decide only which of two ways with the same result is taken."""

_LONGER: Final = 4.0


@dataclass(frozen=True, slots=True)
class Cut:
    """How time is cut.

    Attributes:
        windows: How many.
        warm_up_s: Seconds simulated before each and thrown away.
    """

    windows: int
    warm_up_s: float


def cut(duration_s: float, lanes: int, relaxation_s: float) -> Cut:
    """Windows for so many replicas or groups, and a time in which the past is forgotten."""
    most = max(1, _MOST_LANES // lanes)
    windows = int(min(most, duration_s // (_WARM_UPS_A_WINDOW * relaxation_s)))
    if windows <= 1:
        return Cut(1, 0.0)
    return Cut(windows, max(relaxation_s, duration_s / windows / _WARM_UPS_A_WINDOW))


def run(
    requests: Requests,
    table: StepTable,
    limits: EngineLimits,
    fleet: Fleet,
    *,
    relaxation_s: float,
    step_s: float,
) -> Outcome | None:
    """Simulate a fixed fleet in windows.

    Args:
        requests: Who arrives.
        table: What steps take.
        limits: What a replica may hold.
        fleet: A fixed one.
        relaxation_s: A guess at the time in which a replica forgets.
        step_s: About what a step takes: how many there will be.

    Returns:
        What happened; None when windows do not do, and time has to be simulated in one piece.
    """
    groups = fleet.replicas if fleet.routing == "round-robin" else 1
    together = fleet.replicas // groups
    while True:
        how = cut(requests.duration_s, fleet.replicas, relaxation_s)
        if how.windows == 1 or not _pays(requests, how, fleet.replicas, groups, step_s):
            return None
        outcome = run_cut(requests, table, limits, groups=groups, together=together, how=how)
        if abs(outcome.window_bias) <= TOLERATED_BIAS:
            return outcome
        relaxation_s = _LONGER * how.warm_up_s


def _pays(requests: Requests, how: Cut, replicas: int, groups: int, step_s: float) -> bool:
    """Whether arrays beat the loop: not when every request goes through many steps of its own."""
    own_steps = requests.duration_s * replicas / len(requests) / step_s
    events = 1 + min(own_steps, float(requests.completion.mean()))
    events *= 1 + 1 / _WARM_UPS_A_WINDOW
    return events * (_EVENT_S + _ROUND_S / (groups * how.windows)) < _LOOP_S


def run_cut(
    requests: Requests,
    table: StepTable,
    limits: EngineLimits,
    *,
    groups: int,
    together: int,
    how: Cut,
) -> Outcome:
    """Simulate with this cut.

    Args:
        requests: Who arrives.
        table: What steps take.
        limits: What a replica may hold.
        groups: Routers that take turns; each has replicas of its own.
        together: Replicas behind each of them, the least loaded first.
        how: The cut.
    """
    edges = np.linspace(0.0, requests.duration_s, how.windows + 1)
    edges[-1] = np.inf
    window_s = requests.duration_s / how.windows
    pieces: list[Ints] = []
    counted = []
    bounds = [0]
    begins, ends = [], []
    for group in range(groups):
        members = np.arange(group, len(requests), groups)
        times = requests.times_s[members]
        borders = np.searchsorted(times, edges)
        early = np.searchsorted(times, edges[:-1] - how.warm_up_s)
        late = np.searchsorted(times, edges[1:] + max(window_s, 2 * how.warm_up_s))
        for window in range(how.windows):
            first, last = borders[window], borders[window + 1]
            if first == last:
                continue
            piece = members[early[window] : late[window]]
            pieces.append(piece)
            mine = np.zeros(len(piece), np.bool_)
            mine[first - early[window] : last - early[window]] = True
            counted.append(mine)
            bounds.append(bounds[-1] + len(piece))
            begins.append(edges[window])
            ends.append(min(edges[window + 1], requests.duration_s))
    places = np.concatenate(pieces)
    mine = np.concatenate(counted)
    cells = Cells(
        CellRequests(
            requests.times_s[places],
            requests.prompt[places],
            requests.completion[places],
            mine,
            np.asarray(bounds),
            requests.images,
        ),
        table,
        limits,
        replicas=together,
        busy_from=np.asarray(begins),
        busy_until=np.asarray(ends),
    )
    cells.run()
    first_s, finish_s = np.empty(len(requests)), np.empty(len(requests))
    first_s[places[mine]] = cells.first_s[mine]
    finish_s[places[mine]] = cells.finish_s[mine]
    replicas = groups * together
    return Outcome(
        arrival_s=requests.times_s,
        first_s=first_s,
        finish_s=finish_s,
        busy_s=cells.busy_s,
        paid_s=replicas * requests.duration_s,
        replicas=((0.0, replicas),),
        window_bias=_bias(requests.times_s[places], cells.finish_s, bounds, begins, ends),
    )


def _bias(
    times: Floats, finish_s: Floats, bounds: list[int], begins: list[float], ends: list[float]
) -> float:
    """How many requests fewer are in progress when a window begins than when one ends.

    Both count all requests that the window simulated, its warm-up's included; one that had not
    ended when the window was given up is in progress.
    """
    owner = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))

    def present(at: Floats) -> Floats:
        inside = (times <= at[owner]) & ~(finish_s <= at[owner])
        counts: Floats = np.bincount(owner[inside], minlength=len(bounds) - 1).astype(np.float64)
        return counts

    at_begin, at_end = present(np.asarray(begins)), present(np.asarray(ends))
    follows = np.flatnonzero(np.asarray(begins[1:]) == np.asarray(ends[:-1]))
    if not follows.size:
        return 0.0
    seen_late, seen_early = at_end[follows].sum(), at_begin[follows + 1].sum()
    return float((seen_late - seen_early) / max(1.0, seen_late))
