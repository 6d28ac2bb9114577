"""``pilotage route evaluate``: quality against cost of every way of choosing among models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pilotage.errors import UsageError

if TYPE_CHECKING:
    from pilotage.route.evaluation import Evaluation

_WIDE: Final = 140
"""Columns from which intervals stand beside their figures; the page and JSON have them always."""


def evaluate(
    *,
    fit: Annotated[
        Path,
        typer.Option(help="Scores to fit on: CSV with a column a model, or JSON lines."),
    ],
    test: Annotated[
        Path,
        typer.Option(help="Scores to measure on; rows that are in the other file are left out."),
    ],
    prices: Annotated[
        Path | None,
        typer.Option(
            help="JSON with each model's input_usd_per_mtok and output_usd_per_mtok.",
            show_default="those of RouteLLM's two models",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the chart to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn at random.")] = 0,
) -> None:
    """Compare single models, their mix, plain routers, our policies and the oracle.

    Policies are fitted and set on one file and measured on the other, with what they cost
    themselves.
    """
    # NumPy, templates and plots: not for every start of the command.
    from pilotage.route.evaluation import (  # noqa: PLC0415
        as_dict,
        comparable,
        default_prices,
        evaluate_matrices,
        html_page,
        read_matrix,
        read_prices,
    )

    fitted, tested, seen = comparable(read_matrix(fit), read_matrix(test))
    models = tested.models
    amounts = read_prices(prices, models) if prices is not None else default_prices(models)
    found = evaluate_matrices(fitted, tested, amounts, seen=seen, seed=seed)
    if html is not None:
        try:
            html.write_text(html_page(found), "utf-8")
        except OSError as error:
            reason = error.strerror or "it cannot be written"
            raise UsageError(f"cannot write the page: {reason}", where=str(html)) from error
    if as_json:
        typer.echo(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
        return
    _show(found)
    if html is not None:
        typer.echo(f"page: {html}")


def _show(found: Evaluation) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from pilotage.route.evaluation.table import (  # noqa: PLC0415
        HEADS,
        LEGEND,
        heading,
        price_lines,
        rows,
        verdict,
    )

    console = Console(highlight=False)
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, head in enumerate(HEADS):
        if place:
            table.add_column(head, justify="right")
        else:
            table.add_column(head, overflow="fold", min_width=16)
    ours = [one.kind == "policy" for one in found.measured]
    for row, own in zip(rows(found), ours, strict=True):
        texts = (
            Text(f"{cell.value} ({cell.interval})" if wide and cell.interval else cell.value)
            for cell in row
        )
        table.add_row(*texts, style="bold" if own else "")
    console.print(Text(heading(found)), "", table, "", Text(verdict(found), "bold"), sep="\n")
    for line in (LEGEND, *found.notes, *price_lines(found)):
        console.print(Text(line, "dim"))
