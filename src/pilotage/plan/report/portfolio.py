"""A portfolio's verdict, its table and its bar of shares."""

from __future__ import annotations

from markupsafe import Markup

from pilotage.plan.report import figures
from pilotage.plan.report.facts import headline
from pilotage.plan.report.svg import element, figure, joined, key_entry, mark
from pilotage.plan.report.table import Cell, Table
from pilotage.plan.report.wording import label, strategy_name
from pilotage.plan.result import PortfolioPlan

_WIDTH, _BAR = 980, 22
_TONES = ("s1", "s3", "s5", "s2", "s8", "s7", "s4", "s6")


def verdict(portfolio: PortfolioPlan) -> str:
    """Whether it fits, in a line."""
    lacking = [plan.name for plan in portfolio.plans if not plan.feasible]
    budget = portfolio.usd_per_month
    over = portfolio.total - budget if budget is not None else 0.0
    sentences = []
    if lacking:
        sentences.append(f"Nothing fits for {', '.join(lacking)}")
    if over > 0:
        sentences.append(f"{figures.usd(over)} a month over the budget")
    if not sentences:
        left = f"; {figures.usd(-over)} a month is left" if budget is not None else ""
        return f"All fit{left}"
    return "; ".join(sentences)


def portfolio_table(portfolio: PortfolioPlan) -> Table:
    """A row a deployment: what it would be, what it costs, its share of the budget."""
    rows = []
    for plan in portfolio.plans:
        chosen = plan.chosen
        if chosen is None:
            found = headline(plan)
            fails = Cell(found.title, found.sentence, "bad")
            rows.append((Cell(plan.name), fails, Cell(figures.NOTHING), Cell(figures.NOTHING)))
            continue
        name, how = label(chosen.configuration), strategy_name(chosen.configuration.strategy)
        rows.append(
            (
                Cell(plan.name),
                Cell(name, how if how != name else "", "good"),
                Cell(figures.usd(chosen.cost.usd_per_month if chosen.cost else None)),
                Cell(figures.share(portfolio.share(plan))),
            )
        )
    of = "of budget" if portfolio.usd_per_month is not None else "of total"
    head = ("", "plan", "USD/month", of)
    return Table("portfolio", "Deployments", head, tuple(rows), frozenset({0, 1}))


def portfolio_bar(portfolio: PortfolioPlan) -> Markup | None:
    """The deployments' shares of the budget, and where the budget ends."""
    budget, total = portfolio.usd_per_month, portfolio.total
    whole = max(total, budget or 0.0)
    if whole <= 0:
        return None
    parts, key, at = [], [], 0.0
    for place, plan in enumerate(portfolio.plans):
        if plan.chosen is None or plan.chosen.cost is None:
            continue
        usd = plan.chosen.cost.usd_per_month
        wide, tone = _WIDTH * usd / whole, _TONES[place % len(_TONES)]
        box = element("rect", x=at, y=6, width=wide, height=_BAR, class_=f"stretch {tone}")
        tip = [plan.name, f"{figures.usd(usd)} a month", figures.share(portfolio.share(plan))]
        parts.append(mark(tip, at + wide / 2, 6 + _BAR / 2, [box]))
        key.append(key_entry(tone, plan.name))
        at += wide
    if budget is not None:
        left = _WIDTH - at
        if left > 0.5:
            box = element("rect", x=at, y=6, width=left, height=_BAR, class_="stretch free")
            tip = ["left of the budget", f"{figures.usd(budget - total)} a month"]
            parts.append(mark(tip, at + left / 2, 6 + _BAR / 2, [box]))
        elif total > budget:
            end = _WIDTH * budget / whole
            parts.append(element("line", x1=end, x2=end, y1=0, y2=_BAR + 12, class_="end"))
    drawn = figure("shares", "Shares of the budget", _WIDTH, _BAR + 12, parts)
    return joined([drawn, element("ul", joined(key), class_="key")])
