"""``pilotage catalog``: the prices a plan uses, and one's own from AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotage.catalog.instances import Instance, load_instances
from pilotage.catalog.prices import (
    BUILT_IN_REGION,
    MARKETS,
    SERVICE_UNITS,
    Price,
    PriceBook,
    bedrock_id,
    bedrock_models,
    fetch_prices,
    load_price_book,
    unit_of,
    write_book,
)
from pilotage.errors import UsageError
from pilotage.fetch import default_home
from pilotage.units import format_size, printable

app = typer.Typer(
    name="catalog",
    help="Show the prices that plans use; take your own from AWS.",
    no_args_is_help=True,
)

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The Pilotage home.", show_default="$PILOTAGE_HOME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def refresh(
    region: Annotated[
        str | None, typer.Option(help="AWS region.", show_default="the profile's, or us-east-1")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the AWS configuration.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take prices of EC2, spot, SageMaker and services from AWS into the Pilotage home."""
    book = fetch_prices(region, profile)
    path = write_book(_home(home), book)
    kinds = _counted(book.prices)
    if as_json:
        told = {"path": str(path), "region": book.region, "date": book.date.isoformat()}
        typer.echo(json.dumps({**told, "prices": kinds}))
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    typer.echo(f"{book.region}, {book.date}: {counts}")
    typer.echo(f"written to {printable(str(path))}")


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help='An instance type, a price\'s name, a model, "bedrock" or "services"; all '
            "instance types if not given.",
        ),
    ] = None,
    *,
    region: Annotated[str, typer.Option(help="AWS region.")] = BUILT_IN_REGION,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="A price of your own; may be repeated."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show prices with their source and day; what is not known is shown as unknown, never as 0."""
    book = load_price_book(region, home=_home(home), given=price or ())
    rows = _rows(book, name)
    if as_json:
        typer.echo(json.dumps({"region": region, "prices": [_as_dict(*row) for row in rows]}))
        return
    instance = load_instances().get((name or "").removeprefix("ml."))
    if instance is not None:
        typer.echo(_described(instance))
    typer.echo(_table(rows))


def _rows(book: PriceBook, name: str | None) -> list[tuple[str, Price | None]]:
    instances = load_instances()
    if name is None:
        names = list(instances)
    elif name == "services":
        names = list(SERVICE_UNITS)
    elif name == "bedrock":
        names = [
            f"bedrock/{model.model_id}:{kind}"
            for model in bedrock_models().values()
            for kind in model.prices
        ]
    elif (bare := name.removeprefix("ml.")) in instances:
        names = [bare, *(f"{bare}:{market}" for market in MARKETS[1:]), f"ml.{bare}"]
    elif (model_id := bedrock_id(name)) or (model_id := name) in bedrock_models():
        kinds = ("input", "output", "cache-read", "cache-write", "model-unit")
        names = [f"bedrock/{model_id}:{kind}" for kind in kinds]
    else:
        _checked(name)
        names = [name]
    return [(one, book.find(one)) for one in names]


def _checked(name: str) -> None:
    try:
        unit_of(name)
    except UsageError as error:
        raise UsageError(
            f'"{printable(name[:80])}" is no instance type, price or model of the catalog',
            hint=error.hint,
        ) from None


def _described(instance: Instance) -> str:
    parts = [
        instance.name,
        f"{instance.vcpus} vCPUs",
        format_size(instance.memory_bytes, digits=3),
    ]
    if (found := instance.accelerator) is not None:
        size = format_size(found.memory_bytes, digits=3)
        parts.append(f"{found.count} x {found.name} of {size}")
    if instance.nvme_bytes:
        parts.append(f"NVMe {format_size(instance.nvme_bytes, digits=3)}")
    return ", ".join(parts)


def _table(rows: list[tuple[str, Price | None]]) -> str:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("price", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("day", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for name, price in rows:
        if price is None:
            table.add_row(Text(name), Text("unknown", style="yellow"), Text(unit_of(name)))
        else:
            amount = format(price.amount.normalize(), "f")
            day = price.date.isoformat()
            table.add_row(*map(Text, (name, amount, price.unit, day, price.source)))
    # Never cut to the terminal's width: names are there to be copied.
    console = Console(highlight=False, width=220)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _as_dict(name: str, price: Price | None) -> dict[str, Any]:
    if price is None:
        return {"name": name, "amount": None, "unit": unit_of(name)}
    return {
        "name": name,
        # Text: a JSON number would lose the exact amount.
        "amount": format(price.amount.normalize(), "f"),
        "unit": price.unit,
        "source": price.source,
        "date": price.date.isoformat(),
        "region": price.region,
    }


def _counted(prices: Mapping[str, Price]) -> dict[str, int]:
    kinds = {"on demand": 0, "spot": 0, "one-year": 0, "SageMaker": 0, "services": 0}
    for name in prices:
        if name in SERVICE_UNITS:
            kinds["services"] += 1
        elif name.startswith("ml."):
            kinds["SageMaker"] += 1
        else:
            kinds[name.partition(":")[2] or "on demand"] += 1
    return kinds


def _home(home: Path | None) -> Path:
    return home.absolute() if home is not None else default_home()
