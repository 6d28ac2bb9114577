"""A plan as a page for the terminal, readable from 60 columns up."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from pilotage.plan.glossary import Entry
from pilotage.plan.option import Option
from pilotage.plan.report import figures
from pilotage.plan.report.facts import (
    cost_table,
    deployment_table,
    errors_table,
    headline,
    latency_table,
    memory_table,
    notes_table,
    runners_up_table,
    throughput_table,
    unit_cost_table,
)
from pilotage.plan.report.memory_bar import Part, memory_parts
from pilotage.plan.report.reasons import reasons_table
from pilotage.plan.report.table import SYMBOLS, Cell, Table, Tone
from pilotage.plan.report.wording import demand_line, label, strategy_name
from pilotage.plan.result import DecisionPath, Plan, PortfolioPlan

_STYLES: dict[Tone, str] = {"": "", "good": "green", "bad": "red"}
_COLOURS = ("blue", "yellow", "magenta", "cyan", "red", "green")
_BLOCKS = "█▓▒░"  # told apart without colour too
_FREE = "free"
_WIDE = 96
"""Columns from which formula and source stand beside a term rather than beneath it."""


def terminal_page(plan: Plan) -> RenderableType:
    """The whole page of one deployment."""
    parts: list[RenderableType] = [_top(plan)]
    if plan.chosen is not None:
        parts += _chosen(plan, plan.chosen)
    for table in (runners_up_table(plan), reasons_table(plan)):
        if table is not None:
            parts.append(_drawn(table))
    if plan.tree is not None:
        parts.append(_tree(plan.tree))
    for table in (errors_table(plan), notes_table(plan)):
        if table is not None:
            parts.append(_drawn(table))
    return Group(*parts)


def portfolio_page(portfolio: PortfolioPlan) -> RenderableType:
    """A row a deployment, the total against the budget, and what has to give."""
    budget, total = portfolio.usd_per_month, portfolio.total
    tone: Tone = "good" if portfolio.fits else "bad"
    of_budget = f" of {figures.usd(budget)}" if budget is not None else ""
    verdict = _verdict(portfolio)
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{portfolio.name}: {figures.usd(total)}{of_budget} a month", "bold"),
            "\n",
            (f"{SYMBOLS[tone]} {verdict}", _STYLES[tone]),
        ),
        _drawn(_portfolio_table(portfolio)),
    ]
    if portfolio.relax:
        parts.append(Text("\nWhat would have to give", style="bold"))
        parts += [_hanging("- ", Text(sentence)) for sentence in portfolio.relax]
    return Group(*parts)


def explanation(entry: Entry) -> RenderableType:
    """A term of the glossary."""
    parts: list[RenderableType] = [Text(entry.title, style="bold"), Text(entry.text)]
    if entry.formula:
        parts.append(
            Padding(Text(entry.formula, style="cyan"), (1, 0, 1 if entry.source else 0, 2))
        )
    if entry.source:
        parts.append(Text(f"Source: {entry.source}", style="dim"))
    return Group(*parts)


def _verdict(portfolio: PortfolioPlan) -> str:
    lacking = [plan.name for plan in portfolio.plans if not plan.feasible]
    if lacking:
        return f"Nothing fits for {', '.join(lacking)}"
    budget = portfolio.usd_per_month
    if budget is None:
        return "All fit"
    over = portfolio.total - budget
    if over > 0:
        return f"{figures.usd(over)} a month over the budget"
    return f"All fit; {figures.usd(-over)} a month is left"


def _portfolio_table(portfolio: PortfolioPlan) -> Table:
    rows = []
    for plan in portfolio.plans:
        chosen = plan.chosen
        if chosen is None:
            found = headline(plan)
            rows.append(
                (Cell(plan.name), Cell(found.title, found.sentence, "bad"), Cell(""), Cell(""))
            )
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


def _top(plan: Plan) -> Text:
    found, model = headline(plan), plan.model
    size = f"{figures.tokens(model.parameters)} parameters"
    if model.active_parameters < 0.8 * model.parameters:
        size += f", {figures.tokens(model.active_parameters)} active"
    return Text.assemble(
        (f"{plan.name}: ", "bold"),
        (f"{SYMBOLS[found.tone]} {found.title}", f"bold {_STYLES[found.tone]}"),
        f"\n{found.sentence}\n",
        (f"{model.name}, {size}\n{demand_line(plan.demand)}", "dim"),
    )


def _chosen(plan: Plan, option: Option) -> Iterator[RenderableType]:
    for table in (
        deployment_table(option),
        latency_table(plan, option),
        throughput_table(plan, option),
    ):
        if table is not None:
            yield _drawn(table)
    memory = memory_table(option)
    if memory is not None:
        yield Text(f"\n{memory.title}", style="bold")
        yield _Bar(memory_parts(option))
        yield _Terms(memory, keyed=True)
    cost = cost_table(plan, option)
    if cost is not None:
        yield Text(f"\n{cost.title}", style="bold")
        yield _Terms(cost)
    units = unit_cost_table(plan, option)
    if units is not None:
        yield _drawn(units)


def _tree(tree: DecisionPath) -> RenderableType:
    path = Text(style="dim")
    for answer in tree.answers:
        path.append(f"{answer.question} {answer.answer}. ")
    word = "Overruled" if tree.overruled else "The numbers agree"
    says = Text.assemble("It says ", (strategy_name(tree.strategy), "bold"), f". {word}: ")
    says.append(tree.verdict if tree.verdict.endswith(".") else f"{tree.verdict}.")
    return Group(Text("\nThe decision tree", style="bold"), path, says)


def _drawn(table: Table) -> RenderableType:
    """A table; small print goes beneath its value, where there is always room."""
    rich = RichTable(
        box=None, pad_edge=False, show_header=any(table.head), header_style="dim", padding=(0, 1)
    )
    for place in range(max(len(row) for row in table.rows)):
        rich.add_column(
            table.head[place] if table.head else "",
            justify="left" if place in table.words else "right",
            overflow="fold",
            no_wrap=place not in table.words and bool(table.head),
        )
    for row in table.rows:
        rich.add_row(*(_text(cell, beneath=bool(table.head)) for cell in row))
    parts: list[RenderableType] = [Text(f"\n{table.title}", style="bold"), rich]
    if table.note:
        parts.append(Text(table.note, style="dim"))
    return Group(*parts)


def _text(cell: Cell, *, beneath: bool) -> Text:
    text = Text(cell.marked, style=_STYLES[cell.tone])
    if cell.detail:
        text.append(f"\n{cell.detail}" if beneath else f"  {cell.detail}", style="dim")
    return text


def _hanging(mark: str, text: Text) -> RenderableType:
    """Text behind a mark, its further lines set in."""
    grid = RichTable.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, text)
    return grid


class _Bar:
    """The memory as a bar as wide as the terminal, at most 80 columns."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(options.max_width, 80)
        bar, at = Text(no_wrap=True), 0.0
        for place, part in enumerate(self._parts):
            # Ends are rounded, not widths: the bar is as long as it should be.
            cells = round((at + part.share) * width) - round(at * width)
            at += part.share
            free = part.name == _FREE
            block = "·" if free else _BLOCKS[place % len(_BLOCKS)]
            bar.append(block * cells, style="dim" if free else _colour(place))
        yield bar


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


class _Terms:
    """Terms of a sum: with formula and source beside them where there is room, else beneath."""

    def __init__(self, table: Table, *, keyed: bool = False) -> None:
        self._table = table
        self._keyed = keyed

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        wide = options.max_width >= _WIDE
        rich = RichTable(box=None, pad_edge=False, show_header=False, padding=(0, 1))
        rich.add_column(overflow="fold", max_width=24)
        rich.add_column(justify="right", no_wrap=True)
        rich.add_column(justify="right", no_wrap=True)
        rich.add_column(overflow="fold")
        for place, (name, value, share, formula, source) in enumerate(self._table.rows):
            words = Text(formula.text)
            if source.text:
                words.append(("  " if wide else "\n") + source.text, style="dim")
            mark = self._mark(place, name.text)
            rich.add_row(Text.assemble(mark, name.text), _value(value), Text(share.text), words)
        yield rich

    def _mark(self, place: int, name: str) -> Text:
        """The colour of the bar's stretch."""
        if not self._keyed or name == _FREE:
            return Text("  " if self._keyed else "")
        return Text(f"{_BLOCKS[place % len(_BLOCKS)]} ", style=_colour(place))


def _value(cell: Cell) -> Text:
    return Text(cell.marked, style=_STYLES[cell.tone])
