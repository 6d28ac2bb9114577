"""Pilotage against the bare engine and its peers, in one run on the same model.

::

    make bench-serving                            everything: about half an hour
    python bench/serving.py --quick               one short run of each
    python bench/serving.py --systems engine,pilotage --streams 32,64
    python bench/serving.py --json out.json --png out.png

Every system is started once and stays up, idle; they are measured in turn, so that a noisy
machine hits all alike: for each number of streams, for each repeat, one run of each. The systems
that answer one request at a time are run once at each number of streams.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.load import LoadResult
from bench.machine import split_cores, this_machine
from bench.model import dense_folder, model_file
from bench.peers import ALL
from bench.peers.peer import NotMeasurable, Peer, RunningSystem, Setting
from bench.processes import BusyError, StartError, sole_bench
from bench.prompts import prompts
from bench.report import Report, Row, added_ttft_ms, draw, ratio, row_of, table, targets, verdict
from pilotage.errors import PilotageError

STREAMS = (1, 8, 32, 64)
NEW_TOKENS = 128
WARM_UP_TOKENS = 16
QUICK_SERIAL_REQUESTS = 2
NOISE_LIMIT_CORES = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        streams: Numbers of concurrent streams.
        repeats: Runs of each system at each number of streams; serial systems are run once.
        rounds: Requests a stream sends in a run, at more than one stream.
        single: Requests of a run at one stream.
        serial_limit: Most requests of a run of a serial system, whose speed does not depend on
            how many wait. With fewer requests than streams its TTFT is not measured.
        tokens: New tokens a request.
    """

    streams: tuple[int, ...]
    repeats: int
    rounds: int
    single: int
    serial_limit: int = sys.maxsize
    tokens: int = NEW_TOKENS

    def requests(self, peer: Peer, streams: int) -> int:
        """Requests of one run."""
        if peer.serial:
            return min(max(streams, 3), self.serial_limit)
        return self.single if streams == 1 else streams * self.rounds


@dataclass(slots=True)
class Measurements:
    """What has been measured so far."""

    results: dict[tuple[str, int], list[LoadResult]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    prompts_used: int = 0

    def rows(self, systems: Sequence[str], streams: Sequence[int]) -> dict[tuple[str, int], Row]:
        """A row for each system and number of streams, with figures or with a reason."""
        rows = {}
        for system in systems:
            for level in streams:
                if results := self.results.get((system, level)):
                    rows[system, level] = row_of(system, level, results)
                elif reason := self.reasons.get(system):
                    rows[system, level] = Row(
                        system, level, None, None, None, not_measurable=reason
                    )
        return rows


def measure(
    plan: Plan, systems: dict[Peer, RunningSystem], found: Measurements, console: Console
) -> None:
    """Measure every system that runs; `found` grows with each run."""
    for streams in plan.streams:
        for repeat in range(plan.repeats):
            # Every other repeat goes the other way round, so that no system is always first.
            turn = list(systems) if repeat % 2 == 0 else list(reversed(systems))
            warm = _take(found, streams) if repeat == 0 else ()
            chosen = _take(found, max(plan.requests(peer, streams) for peer in turn))
            for peer in turn:
                if peer.key in found.reasons or (peer.serial and repeat):
                    continue
                try:
                    if warm:
                        few = warm[:2] if peer.serial else warm
                        systems[peer].measure(few, len(few), WARM_UP_TOKENS)
                    work = chosen[: plan.requests(peer, streams)]
                    result = systems[peer].measure(work, streams, plan.tokens)
                except (NotMeasurable, RuntimeError) as error:
                    found.reasons[peer.key] = str(error)
                    console.print(f"[red]({peer.letter}) {peer.key}: {error}[/]")
                    continue
                found.results.setdefault((peer.key, streams), []).append(result)
                console.print(_progress(peer, streams, repeat, result), highlight=False)


def _take(found: Measurements, count: int) -> tuple[str, ...]:
    """Prompts that no system has seen yet."""
    taken = prompts(count, skip=found.prompts_used)
    found.prompts_used += count
    return taken


def _progress(peer: Peer, streams: int, repeat: int, result: LoadResult) -> str:
    failures = [record for record in result.records if record.outcome != "complete"]
    said = f"  ({peer.letter}) {peer.key:<20} {streams:>3} streams, run {repeat + 1}: "
    said += f"{result.tokens_per_second:8.1f} tokens/s"
    if failures:
        said += f"  [red]{len(failures)} failed: {failures[0].outcome} {failures[0].error or ''}[/]"
    return said


def start(
    peers: Sequence[Peer],
    setting: Setting,
    stack: contextlib.ExitStack,
    found: Measurements,
    console: Console,
) -> dict[Peer, RunningSystem]:
    """Start every system that can run here; `found` learns why the others cannot."""
    running: dict[Peer, RunningSystem] = {}
    for peer in peers:
        began = time.monotonic()
        console.print(f"starting ({peer.letter}) {peer.title} …", end=" ")
        try:
            running[peer] = stack.enter_context(peer.running(setting))
        except (NotMeasurable, StartError) as error:
            found.reasons[peer.key] = str(error)
            console.print(f"[yellow]not measurable here: {error}[/]")
        else:
            console.print(f"ready after {time.monotonic() - began:.0f} s")
    return running


def idle_cores(seconds: float = 2.0) -> float:
    """CPU seconds a second that the whole machine uses while nothing is measured."""
    return psutil.cpu_percent(interval=seconds) / 100 * (psutil.cpu_count() or 1)


def main() -> int:
    """Run the benchmark; 0 whether or not the targets are met, 1 if nothing could be measured."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        with sole_bench():
            return _run(given, console)
    except (BusyError, PilotageError) as error:
        console.print(f"[red]{error}[/]")
        return 1


def _run(given: argparse.Namespace, console: Console) -> int:
    peers = [peer for peer in ALL if not given.systems or peer.key in given.systems]
    quick = given.quick
    plan = Plan(
        streams=given.streams,
        repeats=given.repeats or (1 if quick else 3),
        rounds=1 if quick else 2,
        single=4 if quick else 10,
        serial_limit=QUICK_SERIAL_REQUESTS if quick else sys.maxsize,
    )
    machine, cores = this_machine(), split_cores()
    console.print(f"[bold]{machine}[/] · {cores}", highlight=False)
    gguf = model_file(given.model)
    setting = Setting(
        gguf=gguf,
        dense=lambda: dense_folder(gguf),
        threads=len(cores.servers) or machine.cores,
        cores=cores,
        max_num_seqs=given.max_num_seqs,
        max_num_batched_tokens=given.max_num_batched_tokens,
    )
    found = Measurements()
    notes: list[str] = [f"({peer.letter}) {peer.key}: {peer.note}" for peer in peers if peer.note]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as stack:
            systems = start(peers, setting, stack, found, console)
            idle = idle_cores()
            notes.append(f"before measuring, the machine used {idle:.2f} cores with all idle")
            noisy = idle > NOISE_LIMIT_CORES
            console.print(notes[-1], style="bold red" if noisy else None)
            if noisy:
                console.print("something else is at work here: the figures will be low and uneven")
            measure(plan, systems, found, console)
    except KeyboardInterrupt:
        console.print("[yellow]stopped; what was measured so far:[/]")
    titles = {peer.key: f"({peer.letter}) {peer.title}" for peer in peers}
    rows = found.rows(list(titles), plan.streams)
    report = Report(
        machine=asdict(machine),
        shared=str(cores),
        command=shlex.join(["python", "bench/serving.py", *sys.argv[1:]]),
        model=gguf.name,
        new_tokens=plan.tokens,
        rows=tuple(rows.values()),
        ratios=_ratios(rows),
        added_ttft_ms=added_ttft_ms(rows),
        targets=targets(rows),
        not_measured=found.reasons,
        notes=(*notes, *_how_much(plan, peers)),
    )
    console.print()
    console.print(table(rows, titles, plan.streams))
    for line in (*(verdict(target) for target in report.targets), *report.notes):
        console.print(line, highlight=False)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    if given.png:
        draw(report, titles, given.png)
    return 0 if found.results else 1


def _ratios(rows: dict[tuple[str, int], Row]) -> dict[str, dict[str, float]]:
    """Pilotage's speed as a multiple of every other system's, by system and streams."""
    ratios: dict[str, dict[str, float]] = {}
    for (system, level), row in rows.items():
        figure = ratio(rows.get(("pilotage", level)), row)
        if figure is not None and system != "pilotage":
            ratios.setdefault(system, {})[str(level)] = figure
    return ratios


def _how_much(plan: Plan, peers: Sequence[Peer]) -> tuple[str, ...]:
    said = [
        f"tokens/s: median of {plan.repeats} run(s), each {plan.single} requests at 1 stream, "
        f"else {plan.rounds} a stream; TTFT over all requests"
    ]
    if any(peer.serial for peer in peers):
        limited = plan.serial_limit < max(plan.streams)
        said.append(
            "serial systems: one run at each number of streams, "
            + (f"{plan.serial_limit} requests" if limited else "one request a stream")
        )
    return tuple(said)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/serving.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--systems", type=_systems, help=", ".join(peer.key for peer in ALL))
    parser.add_argument("--streams", type=_levels, default=STREAMS, help="such as 1,32")
    parser.add_argument("--repeats", type=_positive, help="runs of each system; 3, or 1 if quick")
    parser.add_argument("--quick", action="store_true", help="one run, one request a stream")
    parser.add_argument("--model", type=Path, help="a GGUF file; the embedded model by default")
    parser.add_argument("--max-num-seqs", type=_positive, default=64)
    parser.add_argument("--max-num-batched-tokens", type=_positive, default=512)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--png", type=Path, help="draw tokens/s against streams here")
    return parser.parse_args()


def _systems(text: str) -> frozenset[str]:
    known = {name: peer.key for peer in ALL for name in (peer.key, peer.letter)}
    names = [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(wrong)}; known: {', '.join(known)}")
    return frozenset(known[name] for name in names)


def _levels(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
