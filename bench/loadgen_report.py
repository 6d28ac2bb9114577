"""The figures of `bench/loadgen.py`: what is written to its JSON file, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.table import Table

from bench.load_peers.tool import Percentiles


class TruthRow(msgspec.Struct, frozen=True):
    """One tool against one behaviour of the server. Latencies in seconds.

    Attributes:
        tool: The tool's key.
        mode: The behaviour's name.
        measured: What the tool says; with repeats the median of each percentile's ratio counts.
        truth: What is true of the same requests, by the server's log: from their arrival to
            their answer; for Pilotage and the stall from the time at which they were due.
        ratio: Measured to truth: median of the repeats.
        theory: What is true of requests that come at any moment.
        from_schedule: A second figure that the tool offers, counted from the scheduled time.
        requests: Requests that the server saw, all repeats.
        failed: Requests that failed, all repeats.
        repeats: Runs.
        server_late_p99_s: 99th percentile of the server's own lateness: if it is not far below
            a millisecond, something else was at work on the machine.
    """

    tool: str
    mode: str
    measured: Percentiles
    truth: Percentiles
    ratio: Percentiles
    theory: Percentiles
    from_schedule: Percentiles | None
    requests: int
    failed: int
    repeats: int
    server_late_p99_s: float


class ArrivalRow(msgspec.Struct, frozen=True):
    """The gaps between a tool's requests.

    Attributes:
        tool: The tool's key.
        process: Constant, Poisson or gamma.
        asked: Requests a second that were asked for.
        seen: Requests a second that the server saw.
        gaps: How many.
        p_due: Kolmogorov-Smirnov p-value of the gaps that were drawn: chance alone. None where
            the tool does not tell, and for constant.
        p_sent: Likewise of the gaps as the sender sent them.
        p_seen: Likewise as they arrived at the server.
        deviation_sent_s: Largest distance of a gap from the right one, for constant.
        deviation_seen_s: Likewise.
        deviation_p99_s: 99th percentile of that distance, as sent.
    """

    tool: str
    process: str
    asked: float
    seen: float
    gaps: int
    p_due: float | None = None
    p_sent: float | None = None
    p_seen: float | None = None
    deviation_sent_s: float | None = None
    deviation_seen_s: float | None = None
    deviation_p99_s: float | None = None


class RateRow(msgspec.Struct, frozen=True):
    """How much one core of a tool sends.

    Attributes:
        tool: The tool's key.
        rate: Requests a second: Pilotage's under an open loop that keeps its time; the other
            tools' most under any load and setting tried, kept time or not.
        how: Load and setting of it.
        tried: Requests a second of each load and setting, each run in turn.
        send_delay_p50_s: Median lateness of the sender at that rate, where it tells.
        closed_loop: Requests a second of a closed loop on the same core.
        all_cores: Requests a second of a closed loop of all its processes on all cores.
        server_busy: Share of its core that the server used meanwhile.
    """

    tool: str
    rate: float
    how: str
    tried: dict[str, tuple[float, ...]]
    send_delay_p50_s: float | None = None
    closed_loop: float | None = None
    all_cores: float | None = None
    server_busy: float | None = None


class Target(msgspec.Struct, frozen=True):
    """A claim, and whether it held.

    Attributes:
        claim: What must be true.
        measured: The figure, where there is one.
        said: What was found, in a few words.
        met: Whether it held; None when not measured.
    """

    claim: str
    measured: float | None
    said: str
    met: bool | None


class Report(msgspec.Struct, frozen=True):
    """A run of the benchmark, as written to its JSON file."""

    machine: dict[str, object]
    command: str
    tools: dict[str, str]
    truth: tuple[TruthRow, ...]
    arrivals: tuple[ArrivalRow, ...]
    rates: tuple[RateRow, ...]
    rate_ratio: float | None
    targets: tuple[Target, ...]
    not_measured: dict[str, str]
    notes: tuple[str, ...]


def verdict(target: Target) -> str:
    """A line on one target, with rich markup."""
    word = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]open[/]"}[target.met]
    return f"{word}: {target.claim}: {target.said}"


def truth_table(rows: Sequence[TruthRow], titles: Mapping[str, str]) -> Table:
    """Measured percentiles in ms, and as a multiple of the truth."""
    table = Table(title="latency: measured, and as a multiple of the truth")
    for heading in (
        "server",
        "tool",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99 from schedule",
        "server late",
    ):
        table.add_column(heading, justify="left" if heading in {"server", "tool"} else "right")
    mode = None
    for row in rows:
        if row.mode != mode:
            mode = row.mode
            table.add_section()
            table.add_row(mode, "in theory", *(f"{_ms(each)}" for each in _three(row.theory)))
        pairs = zip(_three(row.measured), _three(row.ratio), strict=True)
        table.add_row(
            "",
            titles[row.tool] + (f" [red]({row.failed} failed)[/]" if row.failed else ""),
            *(f"{_ms(value)}  x {ratio:.3f}" for value, ratio in pairs),
            "the same" if row.tool == "pilotage" else _p99(row.from_schedule),
            f"{_ms(row.server_late_p99_s)} ms",
        )
    return table


def arrival_table(rows: Sequence[ArrivalRow], titles: Mapping[str, str]) -> Table:
    """Kolmogorov-Smirnov p-values, and the largest deviation of constant gaps."""
    table = Table(title="gaps between requests against the process asked for")
    for heading in ("process", "tool", "asked", "seen", "gaps", "as drawn", "as sent", "as seen"):
        table.add_column(heading, justify="left" if heading in {"process", "tool"} else "right")
    for row in rows:
        if row.process == "constant":
            drawn = "exact"
            sent = f"off by ≤ {_ms(row.deviation_sent_s)} ms (p99 {_ms(row.deviation_p99_s)})"
            seen = f"≤ {_ms(row.deviation_seen_s)} ms"
        else:
            drawn, sent, seen = (_p_value(p) for p in (row.p_due, row.p_sent, row.p_seen))
        table.add_row(
            *(row.process, titles[row.tool], f"{row.asked:g}/s", f"{row.seen:.1f}/s"),
            *(str(row.gaps), drawn, sent, seen),
        )
    return table


def rate_table(rows: Sequence[RateRow], titles: Mapping[str, str]) -> Table:
    """Requests a second from one core."""
    table = Table(title="requests a second that one core sends (all processes of the tool on it)")
    for heading in ("tool", "requests/s", "how", "send delay p50", "closed loop", "all cores"):
        table.add_column(heading, justify="left" if heading in {"tool", "how"} else "right")
    for row in rows:
        delay = row.send_delay_p50_s
        table.add_row(
            *(titles[row.tool], f"{row.rate:,.0f}", row.how),
            "not told" if delay is None else f"{_ms(delay)} ms",
            *(f"{value:,.0f}" if value else "-" for value in (row.closed_loop, row.all_cores)),
        )
    return table


def _three(values: Percentiles) -> tuple[float, float, float]:
    return values.p50, values.p90, values.p99


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f}" if seconds >= 0.01 else f"{seconds * 1000:.2f}"


def _p99(values: Percentiles | None) -> str:
    if values is None:
        return "-"
    # guidellm takes a time that is not set yet for a due time: some were due in 1970.
    return f"{_ms(values.p99)} ms" if values.p99 < 1e6 else "nonsense"


def _p_value(value: float | None) -> str:
    if value is None:
        return "not told"
    return f"p = {value:.3f}" if value >= 0.001 else f"p = {value:.0e}"
