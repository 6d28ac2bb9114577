"""A plan as a page for the terminal, readable from 60 columns up.

Names and sentences may come from a model's files or the user's: control characters are escaped.
"""

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
from pilotage.plan.report.memory_bar import FREE, Part, memory_parts
from pilotage.plan.report.portfolio import portfolio_table, verdict
from pilotage.plan.report.reasons import reasons_table
from pilotage.plan.report.table import SYMBOLS, Cell, Table, Tone
from pilotage.plan.report.wording import demand_line, model_line, strategy_name
from pilotage.plan.result import DecisionPath, Plan, PortfolioPlan
from pilotage.units import printable

_STYLES: dict[Tone, str] = {"": "", "good": "green", "bad": "red"}
_COLOURS = ("blue", "yellow", "magenta", "cyan", "red", "green")
_BLOCKS = "█▓▒░▚▞"  # told apart without colour too
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
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{printable(portfolio.name)}: {figures.usd(total)}{of_budget} a month", "bold"),
            "\n",
            (f"{SYMBOLS[tone]} {printable(verdict(portfolio))}", _STYLES[tone]),
        ),
        _drawn(portfolio_table(portfolio)),
    ]
    if portfolio.relax:
        parts.append(Text("\nWhat would have to give", style="bold"))
        parts += [_hanging("- ", Text(printable(sentence))) for sentence in portfolio.relax]
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


def _top(plan: Plan) -> Text:
    found, model = headline(plan), plan.model
    return Text.assemble(
        (f"{printable(plan.name)}: ", "bold"),
        (f"{SYMBOLS[found.tone]} {printable(found.title)}", f"bold {_STYLES[found.tone]}"),
        f"\n{printable(found.sentence)}\n",
        (f"{printable(model.name)}, {model_line(model)}\n{demand_line(plan.demand)}", "dim"),
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
        path.append(printable(f"{answer.question} {answer.answer}. "))
    word = "Overruled" if tree.overruled else "The numbers agree"
    says = Text.assemble("It says ", (strategy_name(tree.strategy), "bold"), f". {word}: ")
    says.append(printable(tree.verdict.rstrip(".") + "."))
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
    text = _value(cell)
    if cell.detail:
        text.append(("\n" if beneath else "  ") + printable(cell.detail), style="dim")
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
            free = part.name == FREE
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
            words = Text(printable(formula.text))
            if source.text:
                words.append(("  " if wide else "\n") + printable(source.text), style="dim")
            mark = self._mark(place, name.text)
            rich.add_row(
                Text.assemble(mark, printable(name.text)), _value(value), Text(share.text), words
            )
        yield rich

    def _mark(self, place: int, name: str) -> Text:
        """The colour of the bar's stretch."""
        if not self._keyed or name == FREE:
            return Text("  " if self._keyed else "")
        return Text(f"{_BLOCKS[place % len(_BLOCKS)]} ", style=_colour(place))


def _value(cell: Cell) -> Text:
    return Text(printable(cell.marked), style=_STYLES[cell.tone])
