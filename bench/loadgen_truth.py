"""Measured percentiles against the truth, and the gaps between requests against the process."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from scipy import stats

from bench.known_latency import Behaviour, Seen
from bench.load_peers.tool import Figures, Percentiles, Times, Tool, Work
from bench.loadgen_report import ArrivalRow, TruthRow
from bench.loadgen_server import KnownServer, given, in_theory, lateness, truth


@dataclass(frozen=True, slots=True)
class Mode:
    """A behaviour of the server, and the load that it is measured with.

    Attributes:
        name: For the table.
        behaviour: What the server does.
        work: What the tools do.
        repeats: Runs of Pilotage, which takes seconds to start where the others take half a
            minute; theirs are one each.
    """

    name: str
    behaviour: Behaviour
    work: Work
    repeats: int


def modes(*, quick: bool) -> tuple[Mode, ...]:
    """The three behaviours, Poisson arrivals at each."""
    repeats = 1 if quick else 3
    short = Work("poisson", rate=100, duration_s=5 if quick else 6)
    longer = Work("poisson", rate=100, duration_s=6 if quick else 12)
    fixed = Behaviour(kind="fixed", latency_s=0.1)
    log_normal = Behaviour(kind="log_normal", latency_s=0.06, sigma=0.6)
    # 2 % of 50 ms are a millisecond; waking three sleeping processes for a request costs half of
    # one on a small virtual machine.
    stall = Behaviour(kind="stall", latency_s=0.05, stall_s=1.0, every_s=10.0)
    # Whole rounds of serving and stalling, so that one tenth of the requests meets a stall.
    whole = Work("poisson", rate=50, duration_s=10 if quick else 30)
    return (
        Mode("fixed: 100 ms", fixed, short, repeats),
        Mode("log-normal: median 60 ms, sigma 0.6", log_normal, longer, repeats),
        Mode("stall: 50 ms, 1 s of nothing every 10 s", stall, whole, 1),
    )


def measure_truth(
    tool: Tool, mode: Mode, known: KnownServer, say: Callable[[str], None]
) -> tuple[TruthRow, ArrivalRow]:
    """Run ``tool`` against ``mode``; the second value is of the first run's arrivals."""
    runs: list[tuple[Figures, Percentiles, Seen]] = []
    for repeat in range(mode.repeats if tool.key == "pilotage" else 1):
        known.behave(mode.behaviour)
        work = replace(mode.work, seed=mode.work.seed + repeat)
        figures = tool.measure(known.base, work, "default")
        seen = known.seen()
        late = lateness(seen)
        if mode.behaviour.kind == "stall" and len(figures.due_s):
            # Requests arrive in the order in which they are due, unless some never did.
            own = late if len(late) == len(figures.due_s) else 0.0
            true = truth(mode.behaviour, seen.began_s, np.sort(figures.due_s), own)
        else:
            true = given(seen)
        runs.append((figures, true, seen))
        say(f"  {tool.key}: {mode.name}: p99 {figures.latency.p99 * 1000:.1f} ms")
    figures, true, seen = runs[-1]
    return (
        TruthRow(
            tool=tool.key,
            mode=mode.name,
            measured=figures.latency,
            truth=true,
            ratio=Percentiles(
                *(
                    statistics.median(
                        getattr(each.latency, name) / getattr(of, name) for each, of, _ in runs
                    )
                    for name in ("p50", "p90", "p99")
                )
            ),
            theory=in_theory(mode.behaviour),
            from_schedule=figures.from_schedule,
            requests=sum(len(each.arrived_s) for _, _, each in runs),
            failed=sum(each.failed for each, _, _ in runs),
            repeats=len(runs),
            server_late_p99_s=statistics.median(
                float(np.percentile(lateness(each), 99)) for _, _, each in runs
            ),
        ),
        arrival_row(tool.key, mode.work, runs[0][0], runs[0][2]),
    )


def measure_arrivals(tool: Tool, works: tuple[Work, ...], known: KnownServer) -> list[ArrivalRow]:
    """What ``tool`` sends when asked for each process."""
    rows = []
    for work in works:
        known.behave(Behaviour(kind="fixed", latency_s=0.01))
        figures = tool.measure(known.base, work, "default")
        rows.append(arrival_row(tool.key, work, figures, known.seen()))
    return rows


def arrival_row(tool: str, work: Work, figures: Figures, seen: Seen) -> ArrivalRow:
    """The gaps of one run against the process that was asked for, its rate included."""
    at_server = np.diff(np.array(seen.arrived_s))
    sent, due = np.diff(np.sort(figures.sent_s)), np.diff(np.sort(figures.due_s))
    told = len(sent) > 0
    row = ArrivalRow(
        tool=tool,
        process=work.kind,
        asked=work.rate,
        seen=float(1 / at_server.mean()) if len(at_server) else 0.0,
        gaps=len(at_server),
    )
    if work.kind == "constant":
        off_seen, off_sent = (np.abs(gaps - 1 / work.rate) for gaps in (at_server, sent))
        return msgspec.structs.replace(
            row,
            deviation_sent_s=float(off_sent.max()) if told else None,
            deviation_seen_s=float(off_seen.max()),
            deviation_p99_s=float(np.percentile(off_sent, 99)) if told else None,
        )
    return msgspec.structs.replace(
        row,
        p_due=p_value(due, work) if told else None,
        p_sent=p_value(sent, work) if told else None,
        p_seen=p_value(at_server, work),
    )


def p_value(gaps: Times, work: Work) -> float:
    """Kolmogorov-Smirnov: how likely gaps at least so odd are under the process asked for."""
    shape = work.burstiness if work.kind == "gamma" else 1.0
    asked = stats.gamma(shape, scale=1 / (work.rate * shape))
    return float(stats.kstest(gaps, asked.cdf).pvalue)
