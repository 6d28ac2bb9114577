"""The charts of a report: distributions of latency, the run over time, a search for capacity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pilotage.prove.report import figures
from pilotage.prove.report.chart import TONES, Axis, Chart, Guide, Panel, Series, Tab, Tone
from pilotage.prove.report.facts import METRICS, objective_name
from pilotage.prove.report.time_charts import time_panel
from pilotage.prove.result import Capacity, Distribution, Objective, Report, Step

_TONES: dict[str, Tone] = {"met": "good", "missed": "bad"}


def panels(report: Report) -> tuple[Panel, ...]:
    """Every panel of a report that has something to draw."""
    found = (
        distribution_panel([report], [report.name], report.verdict.objectives),
        time_panel(report),
        capacity_panel(report),
    )
    return tuple(panel for panel in found if panel.tabs)


def distribution_panel(
    reports: Sequence[Report], names: Sequence[str], objectives: Sequence[Objective]
) -> Panel:
    """The latency distributions, a tab a metric, a line a report, with the SLO's targets."""
    tabs = []
    for metric, title in METRICS.items():
        series = []
        for place, (report, name) in enumerate(zip(reports, names, strict=True)):
            found: Distribution | None = getattr(report.measures, metric)
            if found is not None and found.curve:
                tone = TONES[place % len(TONES)]
                series.append(Series(name=name, tone=tone, points=_cumulative(found)))
        if not series:
            continue
        what = "gaps" if metric == "itl" else "requests"
        chart = Chart(
            title=title,
            x=Axis(label=title, unit="s", scales=("linear", "log")),
            y=Axis(label=f"Share of {what}", unit="share", scales=("linear", "tail"), high=1.0),
            series=tuple(series),
            guides=tuple(_promise(one) for one in objectives if one.metric == metric),
            read="curve",
        )
        tabs.append(Tab(name=metric.upper(), charts=(chart,)))
    return Panel(name="distribution", title="Distribution of latency", tabs=tuple(tabs))


def _cumulative(found: Distribution) -> tuple[tuple[float, float | None], ...]:
    return ((found.curve[0][1], 0.0), *((value, part) for part, value in found.curve))


def _promise(objective: Objective) -> Guide:
    return Guide(
        axis="x",
        at=objective.target,
        label=f"{objective_name(objective)} ≤ {figures.promise(objective.target)}",
        tone=_TONES.get(objective.finding, "muted"),
        cross=objective.quantile,
    )


def capacity_panel(report: Report) -> Panel:
    """Latency and goodput against the rate of a search."""
    search = report.capacity
    if search is None or not search.steps:
        return Panel(name="capacity", title="Latency against rate", tabs=())
    steps = sorted(search.steps, key=lambda step: step.rate)
    shown: dict[tuple[str, float], Objective | None] = {
        (one.metric, one.quantile): one for step in steps for one in step.verdict.objectives
    }
    if not shown:
        shown = {("ttft", 0.99): None, ("e2e", 0.99): None}
    tabs = []
    for (metric, quantile), promise in shown.items():
        chart = _latency_against_rate(search, steps, metric, quantile, promise)
        if chart is not None:
            tabs.append(
                Tab(name=f"{metric.upper()} p{round(quantile * 100, 4):g}", charts=(chart,))
            )
    tabs.append(Tab(name="Goodput", charts=(_goodput_against_rate(search, steps),)))
    return Panel(name="capacity", title="Latency against rate", tabs=tuple(tabs))


def _latency_against_rate(
    search: Capacity, steps: list[Step], metric: str, quantile: float, promise: Objective | None
) -> Chart | None:
    high = f"p{round(quantile * 100)}"
    found = [(step, getattr(step.measures, metric)) for step in steps]
    found = [(step, one) for step, one in found if one is not None]
    if not found:
        return None
    high = high if hasattr(found[0][1], high) else "p99"
    series = [_against_rate(high, "s8", found, high)]
    if high != "p50":
        series.insert(0, _against_rate("p50", "s1", found, "p50"))
    guides = list(_breaking_point(search))
    if promise is not None:
        target = f"SLO {figures.promise(promise.target)}"
        guides.append(Guide(axis="y", at=promise.target, label=target, tone="good"))
    return Chart(
        title=f"{METRICS[metric]} against rate",
        x=Axis(label="Requests a second offered", unit="/s"),
        y=Axis(label=METRICS[metric], unit="s", scales=("linear", "log")),
        series=tuple(series),
        guides=tuple(guides),
    )


def _against_rate(
    name: str, tone: Tone, found: list[tuple[Step, Distribution]], quantile: str
) -> Series:
    values = [(step, getattr(one, quantile)) for step, one in found]
    return Series(
        name=name,
        tone=tone,
        points=tuple((step.rate, one.value) for step, one in values),
        band=tuple((step.rate, one.low, one.high) for step, one in values),
        marks=tuple("dot" if step.holds else "cross" for step, _ in values),
    )


def _goodput_against_rate(search: Capacity, steps: list[Step]) -> Chart:
    marks: tuple[Literal["dot", "cross"], ...] = tuple(
        "dot" if step.holds else "cross" for step in steps
    )
    offered = tuple((step.rate, step.rate) for step in steps)
    series = [Series(name="offered", tone="muted", points=offered, dashed=True)]
    answered = tuple((step.rate, step.measures.completed_rate) for step in steps)
    series.append(Series(name="answered", tone="s1", points=answered))
    good = tuple((step.rate, step.measures.goodput) for step in steps)
    if any(value is not None for _, value in good):
        series.append(Series(name="goodput", tone="s2", points=good, marks=marks))
    return Chart(
        title="Goodput against rate",
        x=Axis(label="Requests a second offered", unit="/s"),
        y=Axis(label="Requests a second", unit="/s"),
        series=tuple(series),
        guides=_breaking_point(search),
    )


def _breaking_point(search: Capacity) -> tuple[Guide, ...]:
    if search.rate is None:
        return ()
    return (Guide(axis="x", at=search.rate, label=f"holds {figures.offered(search.rate)}"),)
