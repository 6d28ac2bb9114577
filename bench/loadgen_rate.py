"""How many requests a second one core sends."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bench.known_latency import Behaviour
from bench.load_peers.tool import Tool, Work
from bench.loadgen_report import RateRow
from bench.loadgen_server import KnownServer, middle_rate

DELAY_LIMIT_S = 0.001
KEPT_RATE = 0.02
AT_ONCE = Behaviour(kind="fixed", latency_s=0.0)
_FIRST_RATE = 2000.0
_MOST_RATE = 100_000.0


@dataclass(frozen=True, slots=True)
class Held:
    """One run at one rate.

    Attributes:
        rate: Requests a second that the server saw.
        delay_p50_s: Median lateness of the sender.
        busy: Share of its core that the server used.
        good: Whether time was kept: median lateness below a millisecond, the rate within 2 % of
            the schedule's, nothing failed.
    """

    rate: float
    delay_p50_s: float
    busy: float
    good: bool


def sustained(
    tool: Tool, known: KnownServer, work: Work, *, repeats: int, say: Callable[[str], None]
) -> RateRow:
    """The highest rate at which ``tool``, which tells its own delay, keeps its time.

    Doubles the rate until it does not, halves the interval down to 5 %, and lowers the result
    until most of ``repeats`` runs at it hold.
    """
    tried: dict[str, tuple[float, ...]] = {}

    def holds(rate: float) -> Held:
        known.behave(AT_ONCE)
        asked = replace(work, rate=rate)
        figures = tool.measure(known.base, asked, "default")
        seen = known.seen()
        planned = len(figures.due_s) / work.duration_s
        delay = float(np.median(figures.send_delay_s))
        came = middle_rate(seen)
        lasted = seen.arrived_s[-1] - seen.arrived_s[0]
        # The sum over the run counts, as Poisson's own scatter is in any part of it.
        kept = abs(len(seen.arrived_s) / lasted / planned - 1) <= KEPT_RATE
        good = delay < DELAY_LIMIT_S and kept and figures.failed == 0
        key = f"{work.kind}, {rate:,.0f}/s"
        tried[key] = (*tried.get(key, ()), came)
        say(
            f"  {tool.key}: {rate:,.0f}/s asked, {came:,.0f}/s seen, median delay "
            f"{delay * 1000:.2f} ms: {'held' if good else 'not held'}"
        )
        return Held(came, delay, seen.busy_s / lasted, good)

    low, high = 0.0, _FIRST_RATE
    while high < _MOST_RATE and holds(high).good:
        low, high = high, high * 2
    while high - low > 0.05 * high:
        middle = (low + high) / 2
        if holds(middle).good:
            low = middle
        else:
            high = middle
    rate, runs = low, [holds(low) for _ in range(repeats)]
    while sum(run.good for run in runs) * 2 <= repeats and rate > 50:
        rate *= 0.93
        runs = [holds(rate) for _ in range(repeats)]
    return RateRow(
        tool=tool.key,
        rate=statistics.median(run.rate for run in runs),
        how=f"open loop, {work.kind}: highest rate that keeps its time",
        tried=tried,
        send_delay_p50_s=statistics.median(run.delay_p50_s for run in runs),
        closed_loop=closed_loop(tool, known, "default", work),
        server_busy=statistics.median(run.busy for run in runs),
    )


def most(
    tool: Tool, known: KnownServer, work: Work, *, repeats: int, say: Callable[[str], None]
) -> RateRow:
    """The most that ``tool`` sends by any means: an upper bound of what it keeps in time.

    A closed loop in each of its variants, the best of them again, and that variant's open loop
    asked for more than it can.
    """
    tried: dict[str, tuple[float, ...]] = {}

    def note(how: str, rate: float) -> None:
        tried[how] = (*tried.get(how, ()), rate)
        say(f"  {tool.key}: {how}: {rate:,.0f}/s")

    for variant in tool.variants:
        note(f"closed loop, {variant}", closed_loop(tool, known, variant, work))
    best = max(tool.variants, key=lambda variant: tried[f"closed loop, {variant}"][0])
    for _ in range(repeats - 1):
        note(f"closed loop, {best}", closed_loop(tool, known, best, work))
    closed = statistics.median(tried[f"closed loop, {best}"])
    known.behave(AT_ONCE)
    asked = replace(work, kind="constant", rate=float(round(1.3 * closed)))
    tool.measure(known.base, asked, best)
    note(f"open loop, {best}", middle_rate(known.seen()))
    how = max(tried, key=lambda each: statistics.median(tried[each]))
    everywhere = None
    if repeats > 1:
        everywhere = closed_loop(tool, known, best, replace(work, cpus=()))
        say(f"  {tool.key}: closed loop, {best}, on all cores: {everywhere:,.0f}/s")
    return RateRow(
        tool=tool.key,
        rate=statistics.median(tried[how]),
        how=how,
        tried=tried,
        closed_loop=closed,
        all_cores=everywhere,
    )


def closed_loop(tool: Tool, known: KnownServer, variant: str, work: Work) -> float:
    """Requests a second of 64 clients that never rest."""
    known.behave(AT_ONCE)
    closed = Work("closed", concurrency=64, duration_s=work.duration_s, cpus=work.cpus)
    tool.measure(known.base, closed, variant)
    return middle_rate(known.seen())
