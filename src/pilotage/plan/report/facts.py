"""The tables of a plan: what it would do, hold and cost, and what else there was."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.plan.option import Latencies, Option
from pilotage.plan.report import figures
from pilotage.plan.report.reasons import capitalised
from pilotage.plan.report.table import Cell, Table, Tone
from pilotage.plan.report.wording import (
    METRICS,
    hardware,
    label,
    settings,
    strategy_name,
    target,
)
from pilotage.plan.result import Plan, worst_obstacle
from pilotage.plan.terms import Sum

RUNNERS_UP = 5
"""Runners-up that a page shows; the JSON holds all."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on a plan: its tone, a title and a sentence."""

    tone: Tone
    title: str
    sentence: str


def headline(plan: Plan) -> Headline:
    """What was chosen, or that nothing does, in two lines."""
    chosen = plan.chosen
    if chosen is not None:
        name = label(chosen.configuration)
        how = strategy_name(chosen.configuration.strategy)
        title = name if name == how else f"{name} ({how})"
        cost = figures.usd(chosen.cost.usd_per_month) if chosen.cost else "an unknown sum"
        return Headline("good", title, f"{cost} a month: {_judged(plan)}.")
    miss = plan.nearest_miss
    if miss is None:
        were = "was" if _many(plan) == 1 else "were"
        return Headline("bad", "Nothing fits", f"No option is near. {_count(plan)} {were} judged.")
    obstacle = worst_obstacle(miss)
    sentence = (
        f"Nearest is {label(miss.configuration)} ({strategy_name(miss.configuration.strategy)})"
    )
    if obstacle is not None:
        sentence += f": {_stop(obstacle.message)}"
        sentence += f" {_stop(capitalised(obstacle.relax))}" if obstacle.relax else ""
    return Headline("bad", "Nothing fits", sentence)


def _stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _count(plan: Plan) -> str:
    many = _many(plan)
    return f"{many:,} option{'s' if many != 1 else ''}"


def _many(plan: Plan) -> int:
    return plan.considered or len(plan.infeasible) + len(plan.runners_up) + (
        plan.chosen is not None
    )


def _judged(plan: Plan) -> str:
    promised = any(target(plan.demand, metric) is not None for metric in METRICS)
    what = "keeps the SLO" if promised else "carries the load"
    return f"the cheapest that {what}, of {_count(plan)} judged"


def deployment_table(option: Option) -> Table:
    """What would be deployed."""
    one = option.configuration
    facts = [("Strategy", Cell(strategy_name(one.strategy)))]
    if one.instance_type is not None:
        facts.append(("Instances", Cell(f"{one.count} × {one.instance_type}", hardware(one))))  # noqa: RUF001
    elif one.count > 1:
        facts.append(("Model units", Cell(str(one.count))))
    if one.max_count > one.count:
        facts.append(("Grows to", Cell(str(one.max_count), "at the peak")))
    if one.engine is not None:
        facts.append(("Engine", Cell(one.engine)))
    if one.precision is not None:
        cache = f"{one.precision.kv_bytes * 8:.3g}-bit KV cache"
        bits = f"{one.precision.weight_bits:.3g} bits a weight, {cache}"
        facts.append(("Number format", Cell(one.precision.name, bits)))
    if one.engine is not None:
        split = f"TP {one.tensor_parallel}, PP {one.pipeline_parallel}"
        copies = f"{one.replicas} cop{'ies' if one.replicas != 1 else 'y'} of the model"
        facts.append(("Parallelism", Cell(split, copies)))
    for name, value in settings(one).items():
        facts.append((name, Cell(f"{value:,}" if isinstance(value, int) else str(value))))
    if one.limits is not None:
        room = f"{one.limits.kv_tokens:,} tokens"
        facts.append(("KV cache holds", Cell(room, "a copy")))
    return _facts("deployment", "Deployment", facts)


def _facts(name: str, title: str, facts: list[tuple[str, Cell]], note: str = "") -> Table:
    rows = tuple((Cell(what), cell) for what, cell in facts)
    return Table(name, title, (), rows, frozenset({0, 1}), note)


def latency_table(plan: Plan, option: Option) -> Table | None:
    """The expected percentiles against what is promised."""
    estimate = option.estimate
    if estimate is None:
        return None
    rows = []
    for metric, (short, long) in METRICS.items():
        found: Latencies | None = getattr(estimate, metric)
        if found is None:
            continue
        promised = target(plan.demand, metric)
        tone: Tone = "" if promised is None else "good" if found.p99 <= promised else "bad"
        stated = estimate.relative_error.get(metric, _stated(plan, metric))
        rows.append(
            (
                Cell(short, long),
                Cell(figures.seconds(found.p50)),
                Cell(figures.seconds(found.p90)),
                Cell(figures.seconds(found.p99), figures.interval(found.p99_low, found.p99_high)),
                Cell(figures.promise(promised), tone=tone) if promised else Cell(figures.NOTHING),
                Cell(f"±{figures.share(stated)}" if stated is not None else figures.NOTHING),
            )
        )
    note = (
        f"Floor of the median request: {figures.seconds(estimate.floor_e2e_s)}; "
        "no software is faster on this hardware."
        if estimate.floor_e2e_s > 0
        else ""
    )
    head = ("", "p50", "p90", "p99", "SLO", "error")
    return Table("latency", "Expected latency", head, tuple(rows), note=note) if rows else None


def _stated(plan: Plan, name: str) -> float | None:
    return next((one.relative for one in plan.errors if one.name == name), None)


def throughput_table(plan: Plan, option: Option) -> Table | None:
    """Capacity and what of it is used."""
    estimate = option.estimate
    if estimate is None:
        return None
    rate = figures.rate(plan.demand.rate)
    facts = [
        ("Holds at most", Cell(figures.per_second(estimate.requests_per_s), f"asked for {rate}")),
        ("Output tokens", Cell(figures.per_second(estimate.output_tokens_per_s))),
        ("Utilisation", Cell(figures.share(estimate.utilisation), "of the capacity, on average")),
    ]
    return _facts("throughput", "Throughput", facts)


def cost_table(plan: Plan, option: Option) -> Table | None:
    """The terms of the monthly bill."""
    if option.cost is None:
        return None
    total = option.cost.usd_per_month
    budget = plan.demand.usd_per_month
    tone: Tone = "" if budget is None else "good" if total <= budget else "bad"
    beside = f"budget {figures.usd(budget)}" if budget is not None else ""
    rows = [
        *_term_rows(option.cost.monthly, total),
        (Cell("A month"), Cell(figures.usd(total), tone=tone), Cell(""), Cell(beside), Cell("")),
    ]
    head = ("", "USD/month", "share", "formula", "source")
    words = frozenset({0, 3, 4})
    return Table("cost", "Cost of a month of 730 hours", head, tuple(rows), words)


def _term_rows(terms: Sum, whole: float) -> list[tuple[Cell, ...]]:
    return [
        (
            Cell(term.name),
            Cell(figures.quantity(term.value, term.unit)),
            Cell(figures.share(term.value / whole) if whole > 0 else ""),
            Cell(term.formula),
            Cell(term.source),
        )
        for term in terms.terms
    ]


def unit_cost_table(plan: Plan, option: Option) -> Table | None:
    """What a request and a million tokens cost, and what stands idle."""
    cost = option.cost
    if cost is None:
        return None
    bound = plan.demand.usd_per_request
    tone: Tone = "" if bound is None else "good" if cost.usd_per_request <= bound else "bad"
    beside = f"at most {figures.usd(bound)}" if bound is not None else ""
    facts = [
        ("Million tokens", Cell(figures.usd(cost.usd_per_million_tokens), "prompt and output")),
        ("Request", Cell(figures.usd(cost.usd_per_request), beside, tone)),
    ]
    if cost.idle_usd > 0:
        part = figures.share(cost.idle_usd / cost.usd_per_month)
        facts.append(("Idle waste", Cell(f"{figures.usd(cost.idle_usd)} a month", part)))
    return _facts("unit_cost", "Unit costs", facts)


def memory_table(option: Option) -> Table | None:
    """What one accelerator (or machine) holds, and what stays free."""
    estimate = option.estimate
    if estimate is None or estimate.memory is None:
        return None
    has = estimate.memory_bytes
    whole = has or estimate.memory.value
    rows = _term_rows(estimate.memory, whole)
    if has is not None:
        left = has - estimate.memory.value
        cells = (Cell(figures.size(left)), Cell(figures.share(left / has)), Cell(""), Cell(""))
        rows.append((Cell("free" if left >= 0 else "lacking"), *cells))
    head = ("", "size", "share", "formula", "source")
    title = "Memory of one accelerator" if option.configuration.instance_type else "Memory"
    return Table("memory", title, head, tuple(rows), frozenset({0, 3, 4}))


def runners_up_table(plan: Plan, most: int = RUNNERS_UP) -> Table | None:
    """The next cheapest that would do too."""
    if not plan.runners_up:
        return None
    base = plan.chosen.cost.usd_per_month if plan.chosen and plan.chosen.cost else None
    rows = []
    for option in plan.runners_up[:most]:
        cost = option.cost.usd_per_month if option.cost else None
        more = f"+{figures.share(cost / base - 1)}" if cost is not None and base else ""
        rows.append(
            (
                Cell(label(option.configuration), _beside(option)),
                Cell(figures.usd(cost), more),
                Cell(figures.seconds(_p99(option, "ttft"))),
                Cell(figures.seconds(_p99(option, "e2e"))),
            )
        )
    left = len(plan.runners_up) - most
    note = f"{left} more in the JSON." if left > 0 else ""
    head = ("", "USD/month", "TTFT p99", "E2E p99")
    return Table("runners_up", "Runners-up", head, tuple(rows), note=note)


def _beside(option: Option) -> str:
    """The strategy, where the label does not say it."""
    name = strategy_name(option.configuration.strategy)
    return "" if name == label(option.configuration) else name


def _p99(option: Option, metric: str) -> float | None:
    found = getattr(option.estimate, metric) if option.estimate else None
    return found.p99 if found is not None else None


def errors_table(plan: Plan) -> Table | None:
    """How far off each prediction may be, and how that is known."""
    if not plan.errors:
        return None
    rows = tuple(
        (
            Cell(_metric_name(one.name)),
            Cell(f"±{figures.share(one.relative)}"),
            Cell(one.measured_on),
        )
        for one in plan.errors
    )
    head = ("", "error", "measured on")
    return Table("errors", "How far off it may be", head, rows, frozenset({0, 2}))


def _metric_name(name: str) -> str:
    metric, _, percentile = name.partition("_p")
    if metric in METRICS:
        return METRICS[metric][0] + (f" p{percentile}" if percentile else "")
    return name.replace("_", " ")


def notes_table(plan: Plan) -> Table | None:
    """What the plan takes for granted."""
    if not plan.notes:
        return None
    rows = tuple((Cell(note.text), Cell(note.source)) for note in plan.notes)
    return Table("notes", "Assumptions", ("", ""), rows, frozenset({0, 1}))
