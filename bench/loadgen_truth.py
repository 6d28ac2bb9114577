"""Measured percentiles against the truth, and the gaps between requests against the process."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.known_latency import Behaviour, Seen
from bench.load_peers.tool import Figures, Percentiles, Times, Tool, Work
from bench.loadgen_report import ArrivalRow, TruthRow
from bench.loadgen_server import KnownServer, given, in_theory, truth


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
    stall = Behaviour(kind="stall", latency_s=0.02, stall_s=1.0, every_s=10.0)
    # Whole rounds of serving and stalling, so that one tenth of the requests meets a stall.
    whole = Work("poisson", rate=50, duration_s=10 if quick else 30)
    return (
        Mode("fixed: 100 ms", fixed, short, repeats),
        Mode("log-normal: median 60 ms, sigma 0.6", log_normal, longer, repeats),
        Mode("stall: 20 ms, 1 s of nothing every 10 s", stall, whole, 1),
    )


def measure_truth(
    tool: Tool, mode: Mode, known: KnownServer, say: Callable[[str], None]
) -> tuple[TruthRow, Seen]:
    """Run ``tool`` against ``mode``; the second value is what the server saw of the last run."""
    runs: list[tuple[Figures, Percentiles, Seen]] = []
    for repeat in range(mode.repeats if tool.key == "pilotage" else 1):
        known.behave(mode.behaviour)
        work = Work(
            mode.work.kind,
            rate=mode.work.rate,
            duration_s=mode.work.duration_s,
            seed=mode.work.seed + repeat,
        )
        figures = tool.measure(known.base, work, "default")
        seen = known.seen()
        by_schedule = mode.behaviour.kind == "stall" and len(figures.due_s) > 0
        true = truth(mode.behaviour, seen.began_s, figures.due_s) if by_schedule else given(seen)
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
        ),
        seen,
    )


def measure_arrivals(tool: Tool, works: tuple[Work, ...], known: KnownServer) -> list[ArrivalRow]:
    """What ``tool`` sends when asked for each process."""
    rows = []
    for work in works:
        known.behave(Behaviour(kind="fixed", latency_s=0.01))
        figures = tool.measure(known.base, work, "default")
        rows.append(arrival_row(tool.key, work, known.seen(), np.sort(figures.sent_s)))
    return rows


def arrival_row(tool: str, work: Work, seen: Seen, sent_s: Times) -> ArrivalRow:
    """The gaps of one run against the process that was asked for, its rate included."""
    seen_gaps, sent_gaps = np.diff(np.array(seen.arrived_s)), np.diff(sent_s)
    row = ArrivalRow(tool, work.kind, work.rate, _rate(seen_gaps), len(seen_gaps))
    if work.kind == "constant":
        off_seen = np.abs(seen_gaps - 1 / work.rate)
        off_sent = np.abs(sent_gaps - 1 / work.rate)
        return ArrivalRow(
            *(row.tool, row.process, row.asked, row.seen, row.gaps),
            deviation_sent_s=float(off_sent.max()) if len(off_sent) else None,
            deviation_seen_s=float(off_seen.max()),
            deviation_p99_s=float(np.percentile(off_sent, 99)) if len(off_sent) else None,
        )
    return ArrivalRow(
        *(row.tool, row.process, row.asked, row.seen, row.gaps),
        p_sent=p_value(sent_gaps, work) if len(sent_gaps) else None,
        p_seen=p_value(seen_gaps, work),
    )


def p_value(gaps: Times, work: Work) -> float:
    """Kolmogorov-Smirnov: how likely gaps at least so odd are under the process asked for."""
    shape = work.burstiness if work.kind == "gamma" else 1.0
    asked = stats.gamma(shape, scale=1 / (work.rate * shape))
    return float(stats.kstest(gaps, asked.cdf).pvalue)


def _rate(gaps: Times) -> float:
    return float(1 / gaps.mean()) if len(gaps) else 0.0
