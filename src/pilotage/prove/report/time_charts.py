"""The run over time: charts one below another on one time axis."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.prove.report.chart import Axis, Chart, Guide, Panel, Series, Shade, Tab, Tone
from pilotage.prove.report.facts import METRICS, objective_name
from pilotage.prove.result import Point, Report

# Title, unit, and (name, attribute of a sample, tone) of the lines.
_SERVER_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str, Tone], ...]], ...] = (
    ("Server: requests", "", (("running", "running", "s1"), ("waiting", "waiting", "s8"))),
    ("Server: sequences a step", "", (("batch", "batch_size", "s1"),)),
    ("Server: in use", "share", (("KV cache", "kv_usage", "s5"), ("GPU", "gpu", "s2"))),
    ("Server: CPU cores in use", "", (("cores", "cpu", "s1"),)),
)


def time_panel(report: Report) -> Panel:
    """Everything that was measured over time, warm-up included and shaded."""
    if not report.series:
        return Panel(name="time", title="Over time", tabs=())
    charts = (
        *_load_charts(report),
        *_latency_charts(report),
        *_token_charts(report),
        *_server_charts(report),
    )
    return Panel(name="time", title="Over time", tabs=(Tab(name="Over time", charts=charts),))


def _load_charts(report: Report) -> list[Chart]:
    points = report.series
    rates = [
        _line("due", "muted", points, [p.sent / p.seconds for p in points], dashed=True),
        _line("answered", "s1", points, [p.completed / p.seconds for p in points]),
    ]
    if any(point.good is not None for point in points):
        kept = [None if p.good is None else p.good / p.seconds for p in points]
        rates.append(_line("kept the SLO", "s2", points, kept))
    rates.append(_line("failed", "bad", points, [p.failed / p.seconds for p in points]))
    in_flight = _line("in flight", "s1", points, [float(p.in_flight) for p in points])
    return [
        _chart(report, "Requests a second", "/s", rates),
        _chart(report, "Requests in flight", "", [in_flight]),
    ]


def _latency_charts(report: Report) -> list[Chart]:
    points, charts = report.series, []
    for metric in ("ttft", "e2e"):
        low = [getattr(point, f"{metric}_p50") for point in points]
        high = [getattr(point, f"{metric}_p99") for point in points]
        if all(value is None for value in (*low, *high)):
            continue
        targets = tuple(
            Guide(axis="y", at=promise.target, label=f"SLO {objective_name(promise)}")
            for promise in report.verdict.objectives
            if promise.metric == metric
        )
        pair = [_line("p50", "s1", points, low), _line("p99", "s8", points, high)]
        charts.append(_chart(report, METRICS[metric], "s", pair, targets))
    return charts


def _token_charts(report: Report) -> list[Chart]:
    tokens = [point.output_tokens / point.seconds for point in report.series]
    if not any(tokens):
        return []
    line = _line("tokens", "s1", report.series, tokens)
    return [_chart(report, "Output tokens a second", "/s", [line])]


def _server_charts(report: Report) -> list[Chart]:
    samples = report.server.samples if report.server else ()
    charts = []
    for title, unit, lines in _SERVER_CHARTS:
        series = [
            Series(name=name, tone=tone, points=tuple((s.at, getattr(s, field)) for s in samples))
            for name, field, tone in lines
            if any(getattr(sample, field) is not None for sample in samples)
        ]
        if series:
            charts.append(_chart(report, title, unit, series))
    return charts


def _line(
    name: str,
    tone: Tone,
    points: Sequence[Point],
    values: Sequence[float | None],
    *,
    dashed: bool = False,
) -> Series:
    """A value an interval, drawn at the interval's middle."""
    middles = (point.at + point.seconds / 2 for point in points)
    drawn = tuple(zip(middles, values, strict=True))
    return Series(name=name, tone=tone, points=drawn, dashed=dashed)


def _chart(
    report: Report, title: str, unit: str, series: list[Series], guides: tuple[Guide, ...] = ()
) -> Chart:
    last, warm_up = report.series[-1], report.warm_up
    return Chart(
        title=title,
        x=Axis(label="Seconds since the start", high=last.at + last.seconds),
        y=Axis(label="", unit=unit, high=1.0 if unit == "share" else None),
        series=tuple(series),
        guides=guides,
        shades=(Shade(start=0.0, end=warm_up.seconds, label="warm-up"),) if warm_up else (),
        height=150,
    )
