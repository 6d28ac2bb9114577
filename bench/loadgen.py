"""Pilotage's load client against guidellm and aiperf, on a server whose latency is known.

::

    make bench-loadgen-env                        guidellm and aiperf, each in its environment
    make bench-loadgen                            everything: about twelve minutes
    python bench/loadgen.py --quick               about five
    python bench/loadgen.py --tools pilotage      Pilotage alone: about three
    python bench/loadgen.py --parts truth,arrivals,rate

Three questions. *Truth*: do the percentiles that a tool prints hold, for a fixed latency, a
log-normal one, and a server that answers nothing for 1 s every 10 s? *Arrivals*: are the gaps
between its requests those of the process asked for, as it sent them and as the server saw them?
*Rate*: how many requests a second does one core send, all of the tool's processes on it and the
server on another?
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.load_peers import ALL
from bench.load_peers.tool import Tool, Work
from bench.loadgen_rate import most, sustained
from bench.loadgen_report import (
    ArrivalRow,
    RateRow,
    Report,
    TruthRow,
    arrival_table,
    rate_table,
    truth_table,
    verdict,
)
from bench.loadgen_server import KnownServer, known_server
from bench.loadgen_targets import rate_ratio, targets
from bench.loadgen_truth import measure_arrivals, measure_truth, modes
from bench.machine import this_machine
from bench.peers.peer import NotMeasurable
from bench.processes import BusyError, StartError, sole_bench
from bench.serving import NOISE_LIMIT_CORES, idle_cores
from pilotage.errors import PilotageError

PARTS = ("truth", "arrivals", "rate")


@dataclass(slots=True)
class Found:
    """What has been measured so far."""

    truth: list[TruthRow] = field(default_factory=list)
    arrivals: list[ArrivalRow] = field(default_factory=list)
    rates: list[RateRow] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmark.

    Attributes:
        known: The server.
        tools: Who is measured.
        quick: Fewer and shorter runs.
        core: The core of the tool where its rate is asked; empty on a machine with only one.
        found: Grows.
        console: Where progress goes.
    """

    known: KnownServer
    tools: tuple[Tool, ...]
    quick: bool
    core: tuple[int, ...]
    found: Found
    console: Console

    def say(self, line: str) -> None:
        """Print a line of progress."""
        self.console.print(line, highlight=False, markup=False)

    def truth(self) -> None:
        """Percentiles of every tool in every mode, and Poisson arrivals on the way."""
        for mode in modes(quick=self.quick):
            for tool in self._left():
                try:
                    row, gaps = measure_truth(tool, mode, self.known, self.say)
                except (NotMeasurable, RuntimeError, msgspec.DecodeError) as error:
                    self._fails(tool, f"{mode.name}: {error}")
                    continue
                self.found.truth.append(row)
                if mode.behaviour.kind == "log_normal":
                    self.found.arrivals.append(gaps)

    def arrivals(self) -> None:
        """Gaps of Pilotage's requests for every process."""
        for tool in self._left():
            if tool.key != "pilotage":
                continue  # theirs are taken from the Poisson run against the log-normal server
            # Slow enough that the few ten microseconds that sending takes, below which no gap
            # can be, are rare among the gaps asked for, also those of the bursts.
            base = Work("constant", rate=40, duration_s=6 if self.quick else 15)
            works = (
                base,
                replace(base, kind="poisson"),
                replace(base, kind="gamma", burstiness=0.5),
            )
            self.say("  pilotage: constant, Poisson and gamma arrivals")
            self.found.arrivals[:0] = measure_arrivals(tool, works, self.known)

    def rate(self) -> None:
        """Requests a second from one core."""
        repeats = 1 if self.quick else 3
        work = Work("poisson", duration_s=2.0 if self.quick else 3.0, cpus=self.core)
        for tool in self._left():
            how = sustained if tool.key == "pilotage" else most
            try:
                row = how(tool, self.known, work, repeats=repeats, say=self.say)
            except (NotMeasurable, RuntimeError, msgspec.DecodeError) as error:
                self._fails(tool, f"rate: {error}")
                continue
            self.found.rates.append(row)

    def _left(self) -> list[Tool]:
        return [tool for tool in self.tools if tool.key not in self.found.reasons]

    def _fails(self, tool: Tool, why: str) -> None:
        self.found.reasons[tool.key] = why
        self.console.print(f"[red]{tool.key}[/]: {why}", highlight=False)


def main() -> int:
    """Run the benchmark; 0 whether or not the targets are met, 1 if nothing could be measured."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 150)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with sole_bench():
            return _run(given, console)
    except (BusyError, StartError, PilotageError) as error:
        console.print(f"[red]{error}[/]")
        return 1


def _run(given: argparse.Namespace, console: Console) -> int:
    machine, cores = this_machine(), sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1
    console.print(f"[bold]{machine}[/]", highlight=False)
    found, tools = Found(), []
    for tool in (tool for tool in ALL if not given.tools or tool.key in given.tools):
        try:
            tool.ready()
        except NotMeasurable as error:
            found.reasons[tool.key] = str(error)
            console.print(f"[yellow]{tool.title} is not measured: {error}[/]")
        else:
            tools.append(tool)
    notes = [f"{tool.key}: {tool.note}" for tool in tools if tool.note]
    notes.append(
        f"the server keeps to core {cores[0]}; where the rate is asked, the tool to {cores[-1]}"
        if apart
        else "only one core: the server and the tools share it"
    )
    idle = idle_cores()
    notes.append(f"before measuring, the machine used {idle:.2f} cores")
    console.print(notes[-1], style="bold red" if idle > NOISE_LIMIT_CORES else None)
    with known_server(cores[:1] if apart else ()) as known:
        core = (cores[-1],) if apart else ()
        bench = Bench(known, tuple(tools), given.quick, core, found, console)
        try:
            for part in PARTS:
                if part in given.parts:
                    console.print(f"[bold]{part}[/]")
                    getattr(bench, part)()
        except KeyboardInterrupt:
            console.print("[yellow]stopped; what was measured so far:[/]")
    titles = {tool.key: tool.title for tool in ALL}
    report = Report(
        machine=asdict(machine),
        command=shlex.join(["python", "bench/loadgen.py", *sys.argv[1:]]),
        tools=titles,
        truth=tuple(found.truth),
        arrivals=tuple(found.arrivals),
        rates=tuple(found.rates),
        rate_ratio=rate_ratio(found.rates),
        targets=targets(found.truth, found.arrivals, found.rates),
        not_measured=found.reasons,
        notes=tuple(notes),
    )
    _print(report, console)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    return 0 if found.truth or found.arrivals or found.rates else 1


def _print(report: Report, console: Console) -> None:
    console.print()
    if report.truth:
        console.print(truth_table(report.truth, report.tools))
    if report.arrivals:
        console.print(arrival_table(report.arrivals, report.tools))
    if report.rates:
        console.print(rate_table(report.rates, report.tools))
    if report.rate_ratio:
        console.print(f"one core of Pilotage sends {report.rate_ratio:.1f} times the better peer's")
    for line in (*(verdict(target) for target in report.targets), *report.notes):
        console.print(line, highlight=False)
    for tool, reason in report.not_measured.items():
        console.print(f"{tool} is not (wholly) measured: {reason}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/loadgen.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tools", type=_some({tool.key for tool in ALL}), help="such as pilotage")
    parser.add_argument("--parts", type=_some(set(PARTS)), default=frozenset(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _some(known: set[str]) -> Callable[[str], frozenset[str]]:
    def parsed(text: str) -> frozenset[str]:
        names = frozenset(name.strip() for name in text.split(","))
        if wrong := sorted(names - known):
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(wrong)}; known: {', '.join(sorted(known))}"
            )
        return names

    return parsed


if __name__ == "__main__":
    sys.exit(main())
