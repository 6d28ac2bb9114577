"""``pilotage route report``: what routing cost and saved, by tier, key and day."""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pilotage.errors import StoreError, UsageError
from pilotage.units import UnitError, parse_duration

if TYPE_CHECKING:
    from pilotage.route.ledger.report import Report
    from pilotage.route.ledger.report.tables import Table

_DAY_S: Final = 86_400
_WIDEST: Final = 1000
"""Characters of a table's line at most."""


def report_command(
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="The ledger's SQLite file.", show_default="ledger.sqlite in Pilotage's home"
        ),
    ] = None,
    ledger_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Environment variable with a postgresql:// address, instead."
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(help="How far back; a day or more counts from midnight UTC."),
    ] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with a chart to this file.")
    ] = None,
) -> None:
    """Spend by tier, key and day, escalations, and what was saved against the big tier."""
    from pilotage.route.ledger.place import place_of  # noqa: PLC0415 - drivers, templates, plots
    from pilotage.route.ledger.report import html_page, report  # noqa: PLC0415

    try:
        span = parse_duration(since)
    except UnitError as error:
        raise UsageError(error.message, where="--since", hint=error.hint) from None
    until = time.time()
    begin = max(0.0, until - span)
    if span >= _DAY_S:
        begin -= begin % _DAY_S
    store = place_of(ledger, ledger_env, os.environ).open_to_read()
    try:
        found = report(store, begin, until)
    finally:
        store.close()
    if html is not None:
        _write(html, html_page(found))
    if as_json:
        typer.echo(json.dumps(_as_dict(found), indent=2, ensure_ascii=False))
    else:
        _show(found)
        if html is not None:
            typer.echo(f"page: {html}")


def _as_dict(report: Report) -> dict[str, Any]:
    """JSON-ready: amounts are text, so that they stay exact."""
    import msgspec  # noqa: PLC0415

    plain = msgspec.to_builtins(report, builtin_types=(Decimal,))
    fields: dict[str, Any] = json.loads(json.dumps(plain, default=lambda one: format(one, "f")))
    return fields


def _show(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from pilotage.route.ledger.report.tables import notes, tables, tiles  # noqa: PLC0415

    console, wide = Console(highlight=False), Console(highlight=False, width=_WIDEST)
    span = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    console.print(Text(f"{report.ledger}, {span}"), soft_wrap=True)
    for name, value, more in tiles(report):
        console.print(Text.assemble(f"  {name:<16}{value:>14}  ", (more, "dim")))
    for table in tables(report):
        if table.rows:
            console.print()
            # Never narrower than what it says: half an amount is none. Terminals wrap.
            wide.print(_drawn(table))
    console.print()
    for note in notes(report):
        console.print(Text(note))


def _drawn(table: Table) -> Any:
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    rich = RichTable(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
        padding=(0, 2),
    )
    for place, head in enumerate(table.heads):
        rich.add_column(Text(head), justify="right" if place else "left", no_wrap=True)
    for row in table.rows:
        rich.add_row(*map(Text, row))
    return rich


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"the page cannot be written ({error.strerror or error})",
            where=str(path),
            hint="Name a file in a folder that is there and can be written.",
        ) from None
