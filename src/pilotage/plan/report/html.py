"""A plan as one HTML page.

Text is escaped by the template and by `pilotage.plan.report.svg`.
"""

from __future__ import annotations

from typing import Any, Final

from pilotage.pages import one_file
from pilotage.plan.option import Option
from pilotage.plan.report import facts, figures
from pilotage.plan.report.charts import (
    distribution_charts,
    pareto_chart,
    sensitivity_charts,
)
from pilotage.plan.report.memory_chart import memory_chart
from pilotage.plan.report.portfolio import portfolio_bar, portfolio_table, verdict
from pilotage.plan.report.reasons import reasons_table
from pilotage.plan.report.sensitivity import sensitivity_table
from pilotage.plan.report.table import SYMBOLS, Cell, Table, Tone
from pilotage.plan.report.wording import METRICS, demand_line, model_line, strategy_name, target
from pilotage.plan.result import Plan, PortfolioPlan

_HERE: Final = __package__ or ""


def html_page(plan: Plan) -> str:
    """The whole plan as one page."""
    return _render("plan.html.j2", title=plan.name, view=_view(plan))


def portfolio_html(portfolio: PortfolioPlan) -> str:
    """A portfolio as one page, with every deployment's plan folded in."""
    tone: Tone = "good" if portfolio.fits else "bad"
    return _render(
        "portfolio.html.j2",
        title=portfolio.name,
        portfolio=portfolio,
        when=figures.when(portfolio.created_at),
        tone=tone,
        symbol=SYMBOLS[tone],
        verdict=verdict(portfolio),
        total=figures.usd(portfolio.total),
        budget=figures.usd(portfolio.usd_per_month),
        bar=portfolio_bar(portfolio),
        table=portfolio_table(portfolio),
        views=[_view(plan) for plan in portfolio.plans],
    )


def _view(plan: Plan) -> dict[str, Any]:
    """All that the template shows of a plan."""
    found = facts.headline(plan)
    return {
        "plan": plan,
        "when": figures.when(plan.created_at),
        "headline": found,
        "symbol": SYMBOLS[found.tone],
        "size": model_line(plan.model),
        "demand": demand_line(plan.demand),
        "tiles": _tiles(plan),
        "tables": _tables(plan),
        "charts": {
            "pareto": pareto_chart(plan),
            "memory": memory_chart(plan),
            "load": sensitivity_charts(plan, "load"),
            "length": sensitivity_charts(plan, "length"),
            "distribution": distribution_charts(plan),
        },
        "tree_says": strategy_name(plan.tree.strategy) if plan.tree else "",
    }


def _tables(plan: Plan) -> dict[str, Table | None]:
    chosen = plan.chosen
    tables: dict[str, Table | None] = {
        "runners_up": facts.runners_up_table(plan, most=20),
        "reasons": reasons_table(plan),
        "errors": facts.errors_table(plan),
        "notes": facts.notes_table(plan),
        "sensitivity": sensitivity_table(plan),
    }
    for name in ("deployment", "latency", "throughput", "memory", "cost", "units"):
        tables[name] = None
    if chosen is not None:
        tables |= {
            "deployment": facts.deployment_table(chosen),
            "latency": facts.latency_table(plan, chosen),
            "throughput": facts.throughput_table(plan, chosen),
            "memory": facts.memory_table(chosen),
            "cost": facts.cost_table(plan, chosen),
            "units": facts.unit_cost_table(plan, chosen),
        }
    return tables


def _tiles(plan: Plan) -> list[tuple[str, Cell]]:
    """The few figures to see first."""
    return _chosen_tiles(plan, plan.chosen) if plan.chosen is not None else []


def _chosen_tiles(plan: Plan, option: Option) -> list[tuple[str, Cell]]:
    tiles: list[tuple[str, Cell]] = []
    if option.cost is not None:
        budget = plan.demand.usd_per_month
        beside = f"budget {figures.usd(budget)}" if budget is not None else ""
        tiles.append(("A month", Cell(figures.usd(option.cost.usd_per_month), beside)))
        each = figures.usd(option.cost.usd_per_million_tokens)
        tiles.append(("A million tokens", Cell(each)))
    estimate = option.estimate
    if estimate is None:
        return tiles
    for metric, (short, _) in METRICS.items():
        found = getattr(estimate, metric)
        if found is None:
            continue
        promised = target(plan.demand, metric)
        tone: Tone = "" if promised is None else "good" if found.p99 <= promised else "bad"
        beside = f"promised {figures.promise(promised)}" if promised is not None else ""
        tiles.append((f"{short} p99", Cell(figures.seconds(found.p99), beside, tone)))
    used = figures.share(estimate.utilisation)
    tiles.append(("Holds", Cell(figures.per_second(estimate.requests_per_s), f"{used} in use")))
    return tiles


def _render(template: str, **values: Any) -> str:
    style, script = one_file.read(_HERE, "page.css"), one_file.read(_HERE, "page.js")
    return one_file.render(_HERE, template, style=style, script=script, **values)
