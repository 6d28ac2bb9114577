"""The charts of a plan's page: cost against latency, sensitivity, latency distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from pilotage.plan.report import figures
from pilotage.plan.report.svg import (
    Scale,
    around,
    cross,
    element,
    figure,
    joined,
    key_entry,
    mark,
    path,
)
from pilotage.plan.report.wording import METRICS, strategy_name, target
from pilotage.plan.result import Curve, ParetoPoint, Plan, SensitivityRow

_WIDE, _HALF = 980, 470
_STOPS = 60


def pareto_chart(plan: Plan) -> Markup | None:
    """Cost against end-to-end p99, both logarithmic; the front joins what nothing beats."""
    points = [one for one in plan.pareto if one.usd_per_month > 0 and one.e2e_p99_s > 0]
    if not points:
        return None
    promised, budget = plan.demand.e2e_p99, plan.demand.usd_per_month
    height, left, top = 380, 64, 24
    xs = [one.e2e_p99_s for one in points] + ([promised] if promised else [])
    ys = [one.usd_per_month for one in points] + ([budget] if budget else [])
    x, y = around(xs, left, _WIDE - 16, "log"), around(ys, height - 44, top, "log")
    parts = [_axes(x, y, show=figures.usd, label="End to end, p99", name="USD a month")]
    if promised:
        parts.append(_upright(x(promised), y, f"SLO {figures.promise(promised)}"))
    if budget:
        parts.append(_level(x, y(budget), f"budget {figures.usd(budget)}"))
    front = pareto_front(points)
    if len(front) > 1:
        parts.append(path(_stairs(front, x, y), "line s2"))
    # The chosen last, so that nothing covers it.
    for point in sorted(points, key=lambda one: (one.chosen, one.feasible)):
        parts.append(_option_mark(point, x(point.e2e_p99_s), y(point.usd_per_month)))
    drawn = figure("pareto", "Cost against latency of every option", _WIDE, height, parts)
    return joined([drawn, _pareto_key(points)])


def _pareto_key(points: Sequence[ParetoPoint]) -> Markup:
    entries = []
    if any(one.chosen for one in points):
        entries.append(key_entry("s1", "the plan"))
    if any(one.feasible and not one.chosen for one in points):
        entries.append(key_entry("s2", "does too; the line joins those that nothing beats"))
    if any(not one.feasible for one in points):
        saltire = element("span", "\N{MULTIPLICATION X}", class_="saltire", aria_hidden="true")
        entries.append(element("li", joined([saltire, escape("does not do")])))
    return element("ul", joined(entries), class_="key")


def pareto_front(points: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """The feasible options that no other beats in both cost and latency, the fastest first."""
    front: list[ParetoPoint] = []
    feasible = (one for one in points if one.feasible)
    for point in sorted(feasible, key=lambda one: (one.e2e_p99_s, one.usd_per_month)):
        if not front or point.usd_per_month < front[-1].usd_per_month:
            front.append(point)
    return front


def _stairs(front: Sequence[ParetoPoint], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Between two options of the front a reader has the slower one's cost only at its latency."""
    steps: list[tuple[float, float]] = []
    for point in front:
        at = (x(point.e2e_p99_s), y(point.usd_per_month))
        if steps:
            steps.append((at[0], steps[-1][1]))
        steps.append(at)
    return steps


def _option_mark(point: ParetoPoint, x: float, y: float) -> Markup:
    tip = [
        point.label,
        strategy_name(point.strategy),
        f"{figures.usd(point.usd_per_month)} a month",
        f"p99 {figures.seconds(point.e2e_p99_s)}",
    ]
    if point.chosen:
        label = element("text", point.label, x=x + 12, y=y - 9, class_="here")
        ring = element("circle", cx=x, cy=y, r=9, class_="ring s1")
        dot = element("circle", cx=x, cy=y, r=5, class_="dot s1")
        return mark([*tip, "the plan"], x, y, [ring, dot, label], "chosen")
    if point.feasible:
        return mark(tip, x, y, [element("circle", cx=x, cy=y, r=4.5, class_="dot s2")])
    return mark([*tip, "does not do"], x, y, [cross(x, y, "muted")])


def sensitivity_charts(plan: Plan, of: str) -> Markup | None:
    """Cost and latency of the cheapest option against a factor of the load or of the lengths."""
    rows = sorted((row for row in plan.sensitivity if row.of == of), key=lambda row: row.factor)
    if not rows:
        return None
    cost = _sensitivity(
        f"{of}-cost",
        f"Cost against {of}",
        rows,
        [row.usd_per_month for row in rows],
        figures.usd,
        bound=plan.demand.usd_per_month,
        bound_label="budget",
    )
    promised = plan.demand.e2e_p99
    latency = _sensitivity(
        f"{of}-latency",
        f"End to end, p99, against {of}",
        rows,
        [row.e2e_p99_s for row in rows],
        figures.seconds,
        bound=promised,
        bound_label="SLO",
        held=[row.held_e2e_p99_s for row in rows],
    )
    return joined([cost, latency])


def _sensitivity(
    name: str,
    title: str,
    rows: Sequence[SensitivityRow],
    values: Sequence[float | None],
    show: Callable[[float], str],
    *,
    bound: float | None,
    bound_label: str,
    held: Sequence[float | None] = (),
) -> Markup:
    height, left, top, right = 216, 64, 30, _HALF - 14
    known = [value for value in (*values, *held, bound) if value is not None]
    y = around(known, height - 42, top)
    room = (right - left) / len(rows)
    places = [left + room * (place + 0.5) for place in range(len(rows))]
    parts = [_levels(y, left, right, show), element("text", title, x=0, y=13, class_="title")]
    for row, at in zip(rows, places, strict=True):
        parts.append(
            element("text", figures.times(row.factor), x=at, y=height - 22, text_anchor="middle")
        )
    if bound is not None:
        line_label = f"{bound_label} {figures.tick(show(bound))}"
        parts.append(_level(Scale(0, 1, left, right), y(bound), line_label))
    for series, tone in ((held, "muted dashed"), (values, "s1")):
        line = [(at, y(v)) for at, v in zip(places, series, strict=False) if v is not None]
        if len(line) > 1:
            parts.append(path(line, f"line {tone}"))
    for place, (row, at, value) in enumerate(zip(rows, places, values, strict=True)):
        tip = [f"{figures.times(row.factor)} the {row.of}", row.label]
        if value is not None:
            tip.append(show(value))
        if held:
            alone = held[place]
            tip.append(f"the plan as it is: {show(alone) if alone is not None else 'overloaded'}")
        if value is None or not row.feasible:
            down = height - 50.0 if value is None else y(value)
            word = element("text", "nothing fits", x=at, y=down - 10, text_anchor="middle")
            parts.append(mark(tip, at, down, [cross(at, down, "bad"), word]))
        else:
            dot = element("circle", cx=at, cy=y(value), r=4.5, class_="dot s1")
            parts.append(mark(tip, at, y(value), [dot]))
    return figure(name, title, _HALF, height, parts, by="x")


def distribution_charts(plan: Plan) -> Markup | None:
    """The simulated latency distributions with what is promised."""
    drawn = [_distribution(plan, curve) for curve in plan.curves if len(curve.points) > 1]
    return joined(drawn) if drawn else None


def _distribution(plan: Plan, curve: Curve) -> Markup:
    height, left, top, right = 250, 52, 30, _HALF - 14
    promised = target(plan.demand, curve.metric)
    # The last thousandth would take most of the room.
    last = next((value for value, share in curve.points if share >= 0.999), curve.points[-1][0])
    x = around([last, *([promised] if promised else [])], left, right)
    y = Scale(0.0, 1.0, height - 44, top)
    long = METRICS[curve.metric][1]
    parts = [_axes(x, y, show=figures.share, label=long)]
    parts.append(element("text", long, x=0, y=13, class_="title"))
    if promised:
        parts.append(_upright(x(promised), y, f"SLO {figures.promise(promised)}", low=True))
    shown = [(value, share) for value, share in curve.points if value <= x.high]
    if len(shown) > 1:
        parts.append(path([(x(value), y(share)) for value, share in shown], "line s1"))
    for stop in range(_STOPS + 1):
        value = x.low + (x.high - x.low) * stop / _STOPS
        share = share_within(curve, value)
        at, down = x(value), y(share)
        dot = element("circle", cx=at, cy=down, r=4, class_="dot s1 reveal")
        tip = [f"within {figures.seconds(value)}", f"{_fine(share)} of requests"]
        parts.append(mark(tip, at, down, [dot]))
    return figure(f"cdf-{curve.metric}", f"{long}, simulated", _HALF, height, parts, by="x")


def share_within(curve: Curve, value: float) -> float:
    """The share of requests within a latency, straight between the curve's points."""
    before = (0.0, 0.0)
    for point in curve.points:
        if point[0] > value:
            span = point[0] - before[0]
            part = (value - before[0]) / span if span > 0 else 0.0
            return before[1] + (point[1] - before[1]) * part
        before = point
    return before[1]


def _fine(share: float) -> str:
    """Per cent with a decimal in the tail; never all of them by rounding."""
    return f"{min(share, 0.9999):.2%}" if share > 0.99 else f"{share:.0%}"


def _axes(
    x: Scale,
    y: Scale,
    *,
    show: Callable[[float], str],
    label: str,
    name: str = "",
) -> Markup:
    parts = [_levels(y, x.start, x.end, show)]
    bottom = y.start
    for tick in x.ticks(max(3, round((x.end - x.start) / 90))):
        at = x(tick)
        parts.append(element("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"))
        shown = figures.tick(figures.seconds(tick))
        parts.append(element("text", shown, x=at, y=bottom + 18, text_anchor="middle"))
    parts.append(element("text", label, x=x.end, y=bottom + 38, text_anchor="end"))
    if name:
        parts.append(element("text", name, x=0, y=11))
    return joined(parts)


def _levels(y: Scale, left: float, right: float, show: Callable[[float], str]) -> Markup:
    """The y axis: a rule and a label a tick."""
    parts = []
    for tick in y.ticks(5):
        at = y(tick)
        parts.append(element("line", x1=left, x2=right, y1=at, y2=at, class_="rule"))
        text = figures.tick(show(tick))
        parts.append(element("text", text, x=left - 8, y=at + 4, text_anchor="end"))
    return joined(parts)


def _upright(x: float, y: Scale, label: str, *, low: bool = False) -> Markup:
    line = element("line", x1=x, x2=x, y1=y.end, y2=y.start, class_="guide")
    text = element(
        "text",
        label,
        x=x - 6,
        y=(y.start - 10) if low else (y.end + 12),
        text_anchor="end",
        class_="guide-label",
    )
    return joined([line, text])


def _level(x: Scale, y: float, label: str) -> Markup:
    line = element("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="guide")
    text = element("text", label, x=x.end - 6, y=y - 6, text_anchor="end", class_="guide-label")
    return joined([line, text])
