"""The figures of `bench/fetch.py`: ratios, targets, tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from operator import attrgetter

import msgspec
from rich.table import Table

from bench.fetch_tools import CURL, HUB, OURS, OURS_BARE, TITLES, Took

MIB = 1 << 20

_LEAST_VERIFIED, _LEAST_BARE = 1.0, 0.8


class Run(msgspec.Struct, frozen=True):
    """One download by one tool.

    Attributes:
        tool: A key of `TITLES`.
        took: What its process measured.
        process_s: Seconds that the whole process took, imports included.
        cpu_s: Seconds of CPU that it used.
        origin_cpu_s: Those that the origin used meanwhile.
        settle_s: Seconds until all its bytes were on the disk, once it had ended.
    """

    tool: str
    took: Took
    process_s: float
    cpu_s: float
    origin_cpu_s: float
    settle_s: float

    @property
    def flushed_s(self) -> float:
        """Seconds to files that would survive a power cut, whoever called fsync."""
        return self.took.wall_s + self.settle_s


class Target(msgspec.Struct, frozen=True):
    """A claim, and whether it held; None when a tool it needs is not installed."""

    claim: str
    measured: float | None
    met: bool | None


class Place(msgspec.Struct, frozen=True):
    """All runs into one filesystem.

    Attributes:
        filesystem: Its type and where it is mounted.
        in_memory: Whether fsync has nothing to wait for.
        runs: In the order in which they were made.
        ratios: What was compared, as medians over the rounds.
        targets: Of this filesystem.
    """

    filesystem: str
    in_memory: bool
    runs: tuple[Run, ...]
    ratios: dict[str, float]
    targets: tuple[Target, ...]


class Report(msgspec.Struct, frozen=True):
    """A run of the bench, as written to its JSON file.

    Attributes:
        machine: Where.
        command: How to run it again.
        model_bytes: Size of all files together.
        sha256_s: Seconds that one core takes to hash the model out of memory.
        origin_s: Seconds that the origin takes to send it to a client that drops it; None without
            curl.
        places: One a filesystem.
    """

    machine: str
    command: str
    model_bytes: int
    sha256_s: float
    origin_s: float | None
    places: tuple[Place, ...]


def ratio(runs: Sequence[Run], above: str, below: str, *, flushed: bool = False) -> float | None:
    """How many times as fast `above` is as `below`: the median over the rounds."""

    def times(tool: str) -> list[float]:
        return [r.flushed_s if flushed else r.took.wall_s for r in runs if r.tool == tool]

    pairs = list(zip(times(above), times(below), strict=False))
    return statistics.median(slow / fast for fast, slow in pairs) if pairs else None


def targets(runs: Sequence[Run]) -> tuple[Target, ...]:
    """What the issue asks for, and what was measured."""

    def target(claim: str, figure: float | None, least: float) -> Target:
        return Target(claim, figure, None if figure is None else figure >= least)

    return (
        target(
            f"pilotage fetch at least {_LEAST_VERIFIED:g} times huggingface_hub, both verified",
            ratio(runs, OURS, HUB),
            _LEAST_VERIFIED,
        ),
        target(
            f"Pilotage's engine without hashing at least {_LEAST_BARE:g} times curl",
            ratio(runs, OURS_BARE, CURL),
            _LEAST_BARE,
        ),
    )


def table(place: Place, size: int) -> Table:
    """The medians, a row a tool."""
    title = f"{size / MIB:,.0f} MiB into {place.filesystem}: medians, in seconds"
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("tool", no_wrap=True)
    columns = {
        "with fsync": "flushed_s",
        "fsync in it": "took.flush_s",
        "verify after": "took.verify_s",
        "process": "process_s",
        "CPU": "cpu_s",
        "origin's CPU": "origin_cpu_s",
    }
    for heading in ("time", "MB/s", *columns, "times ours"):
        drawn.add_column(heading, justify="right")
    for tool, (name, _) in TITLES.items():
        own = [each for each in place.runs if each.tool == tool]
        if not own:
            drawn.add_row(name, "not installed")
            continue
        wall_s = _median(own, "took.wall_s")
        slower = ratio(place.runs, OURS, tool)
        drawn.add_row(
            f"{name} {own[0].took.version}",
            f"{wall_s:.2f}",
            f"{size / wall_s / 1e6:,.0f}",
            *(f"{_median(own, column):.2f}" for column in columns.values()),
            "" if slower is None or tool == OURS else f"{slower:.2f}",
        )
    return drawn


def verdict(target: Target) -> str:
    """A line on one target, with rich markup."""
    if target.met is None or target.measured is None:
        return f"[yellow]not measured[/]  {target.claim}"
    word = "[green]met[/]   " if target.met else "[red]missed[/]"
    return f"{word}        {target.claim}: {target.measured:.2f} times"


def arithmetic(report: Report) -> list[str]:
    """What the columns mean, and what bounds any tool here."""
    lines = [f"{name}: {what}" for name, what in TITLES.values()]
    lines += [
        "with fsync: until all bytes are on the disk, by the tool's fsync or by ours afterwards",
        "times ours: of pilotage fetch's time, median over the rounds; process: imports included",
    ]
    speed = report.model_bytes / report.sha256_s / 1e6
    lines.append(f"sha256 of the model on one core: {report.sha256_s:.2f} s, {speed:,.0f} MB/s")
    if report.origin_s is not None:
        sent = report.model_bytes / report.origin_s / 1e6
        lines.append(
            f"the origin to a curl that drops all: {report.origin_s:.2f} s, {sent:,.0f} MB/s"
        )
    for place in report.places:
        lines += [f"{place.filesystem}: {what}: {it:.2f}" for what, it in place.ratios.items()]
    return lines


def _median(runs: Sequence[Run], name: str) -> float:
    return statistics.median(float(attrgetter(name)(run)) for run in runs)
