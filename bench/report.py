"""The figures of `bench/serving.py` as a table, a verdict on the targets, JSON and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.table import Table

from bench.load import LoadResult


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One system at one number of streams.

    Attributes:
        system: The peer's key.
        streams: Requests in flight at any time.
        tokens_per_second: Median over the runs. None when it could not be measured.
        ttft_p50_ms: Over the requests of all runs, in milliseconds. None when a run had fewer
            requests than streams.
        ttft_p99_ms: Likewise.
        runs: Tokens a second of each run, in the order in which they were made.
        ttft_p50_ms_runs: Median TTFT of each run, in the same order.
        requests: Requests in all runs together.
        failed: Of these, the ones that got no whole answer.
        tokens_per_answer: Fewest and most new tokens of an answer.
        client_cores: CPU seconds a second that the load client used.
        not_measurable: Why there are no figures.
    """

    system: str
    streams: int
    tokens_per_second: float | None
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    runs: tuple[float, ...] = ()
    ttft_p50_ms_runs: tuple[float, ...] = ()
    requests: int = 0
    failed: int = 0
    tokens_per_answer: tuple[int, int] = (0, 0)
    client_cores: float = 0.0
    not_measurable: str | None = None


class Target(msgspec.Struct, frozen=True):
    """A claim, and whether it held.

    Attributes:
        claim: What must be true.
        measured: The figure; None when a system it needs was not measured.
        met: Whether it held; None when not measured.
    """

    claim: str
    measured: float | None
    met: bool | None


class Report(msgspec.Struct, frozen=True):
    """A run of the benchmark, as written to its JSON file."""

    machine: dict[str, object]
    shared: str
    command: str
    model: str
    new_tokens: int
    rows: tuple[Row, ...]
    ratios: dict[str, dict[str, float]]
    added_ttft_ms: float | None
    targets: tuple[Target, ...]
    not_measured: dict[str, str]
    notes: tuple[str, ...]


def row_of(system: str, streams: int, results: Sequence[LoadResult]) -> Row:
    """The figures of all runs of one system at one number of streams."""
    speeds = tuple(result.tokens_per_second for result in results)
    # With fewer requests than streams nobody has waited as long as they would have.
    full = [result for result in results if len(result.records) >= streams]
    ttfts = [1000 * ttft for result in full for ttft in result.ttfts_s]
    counts = [record.completion_tokens for result in results for record in result.completed]
    requests = sum(len(result.records) for result in results)
    cores = [result.client_cpu_s / result.elapsed_s for result in results if result.elapsed_s]
    return Row(
        system=system,
        streams=streams,
        tokens_per_second=statistics.median(speeds),
        ttft_p50_ms=float(np.percentile(ttfts, 50)) if ttfts else None,
        ttft_p99_ms=float(np.percentile(ttfts, 99)) if ttfts else None,
        runs=speeds,
        ttft_p50_ms_runs=tuple(
            1000 * statistics.median(result.ttfts_s) for result in results if result.ttfts_s
        ),
        requests=requests,
        failed=requests - len(counts),
        tokens_per_answer=(min(counts, default=0), max(counts, default=0)),
        client_cores=statistics.median(cores) if cores else 0.0,
    )


def ratio(above: Row | None, below: Row | None) -> float | None:
    """How many times as fast `above` is.

    The median over the runs of the ratio of runs made side by side, which the machine's noise
    hits alike; where one of the two was run less often, the ratio of the medians.
    """
    if above is None or below is None or not above.runs or not below.runs:
        return None
    if len(above.runs) == len(below.runs):
        pairs = zip(above.runs, below.runs, strict=True)
        quotients = [up / down for up, down in pairs if down > 0]
        return statistics.median(quotients) if quotients else None
    down = statistics.median(below.runs)
    return statistics.median(above.runs) / down if down > 0 else None


def added_ttft_ms(rows: Mapping[tuple[str, int], Row]) -> float | None:
    """Milliseconds that Pilotage adds to the engine's TTFT at one stream: median of the runs."""
    ours, engine = rows.get(("pilotage", 1)), rows.get(("engine", 1))
    if ours is None or engine is None:
        return None
    pairs = zip(ours.ttft_p50_ms_runs, engine.ttft_p50_ms_runs, strict=False)
    added = [with_server - without for with_server, without in pairs]
    return statistics.median(added) if added else None


def targets(rows: Mapping[tuple[str, int], Row]) -> tuple[Target, ...]:
    """What Pilotage claims, and what was measured."""

    def against(system: str, streams: int, least: float, name: str) -> Target:
        figure = ratio(rows.get(("pilotage", streams)), rows.get((system, streams)))
        claim = f"Pilotage at least {least:g} times {name} in tokens/s at {streams} streams"
        return Target(claim, figure, None if figure is None else figure >= least)

    added = added_ttft_ms(rows)
    return (
        against("engine", 32, 0.95, "the engine in process"),
        against("engine", 64, 0.95, "the engine in process"),
        Target(
            "Pilotage adds at most 5 ms to the engine's TTFT at 1 stream",
            added,
            None if added is None else added <= 5,
        ),
        against("vllm_cpu", 32, 1.5, "vLLM's CPU server"),
        against("llama_cpp_python", 32, 3, "llama-cpp-python's server"),
        against("fastapi_transformers", 32, 10, "FastAPI around generate()"),
    )


def table(
    rows: Mapping[tuple[str, int], Row], titles: Mapping[str, str], streams: Sequence[int]
) -> Table:
    """The figures, one row a system and number of streams."""
    drawn = Table(title="Tokens a second and time to first token", title_justify="left")
    drawn.add_column("system")
    for heading in ("streams", "tokens/s", "TTFT p50 ms", "TTFT p99 ms", "(b) / this"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("requests", justify="right")
    for system, title in titles.items():
        for level in streams:
            if (row := rows.get((system, level))) is None:
                continue
            quotient = ratio(rows.get(("pilotage", level)), row) if system != "pilotage" else None
            failed = f" ({row.failed} failed)" if row.failed else ""
            drawn.add_row(
                title,
                str(level),
                _figure(row.tokens_per_second, "{:,.1f}"),
                _figure(row.ttft_p50_ms, "{:,.1f}"),
                _figure(row.ttft_p99_ms, "{:,.1f}"),
                _figure(quotient, "{:.2f}"),
                row.not_measurable or f"{row.requests}{failed}",
            )
        drawn.add_section()
    return drawn


def verdict(target: Target) -> str:
    """A line on one target, with rich markup."""
    if target.met is None or target.measured is None:
        return f"[yellow]not measured[/]  {target.claim}"
    word = "[green]met[/]   " if target.met else "[red]missed[/]"
    unit = " ms" if "TTFT" in target.claim else " times"
    return f"{word}        {target.claim}: {target.measured:.2f}{unit}"


def draw(report: Report, titles: Mapping[str, str], path: Path) -> None:
    """Tokens a second against streams, one line a system, as a PNG."""
    import matplotlib as mpl  # noqa: PLC0415 - only a run that draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for system, title in titles.items():
        points = [
            (row.streams, row.tokens_per_second)
            for row in report.rows
            if row.system == system and row.tokens_per_second
        ]
        if points:
            width = 2.6 if system == "pilotage" else 1.4
            axes.plot(*zip(*points, strict=True), marker="o", label=title, linewidth=width)
    levels = sorted({row.streams for row in report.rows})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("concurrent streams")
    axes.set_ylabel("new tokens a second")
    axes.set_title(f"{report.model}, {report.new_tokens} new tokens a request")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    facts = report.machine
    figure.supxlabel(
        f"{facts['date']} · {facts['cpu']}, {facts['cores']} cores · {report.shared}", fontsize=8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
