"""``pilotage keys``: make, list and revoke the keys that a server asks for."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.cells import cell_len, set_cell_size

from pilotage.serve.keys import ApiKey, KeyLimits, KeyStore, Scope, default_key_file

_LIMITS = ("REQUESTS/MIN", "TOKENS/MIN", "USD/DAY", "USD/MONTH")

app = typer.Typer(
    name="keys", help="Make, list and revoke the API keys of a server.", no_args_is_help=True
)

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The key file.", show_default="keys.json in Pilotage's home"),
]
_AMOUNT = re.compile(r"\$?(\d{1,7}(?:\.\d{1,12})?)", re.ASCII)


def _dollars(text: str) -> Decimal:
    """An amount as a person writes it: 20, 0.50, $12.5."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or not 0 < Decimal(match[1]) <= 1_000_000:
        raise typer.BadParameter(
            f"{text!r} is no amount of US dollars from above 0 to 1000000, such as 20 or 0.50"
        )
    return Decimal(match[1])


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    *,
    name: Annotated[str, typer.Option(help="What you call it: a person, a team, an app.")],
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, max=10**12, help="The most requests a minute.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(min=1, max=10**12, help="The most prompt and completion tokens a minute."),
    ] = None,
    usd_per_day: Annotated[
        Decimal | None,
        typer.Option(
            parser=_dollars, metavar="USD", help="The most US dollars a UTC day, where it routes."
        ),
    ] = None,
    usd_per_month: Annotated[
        Decimal | None,
        typer.Option(
            parser=_dollars,
            metavar="USD",
            help="The most US dollars a calendar month (UTC), where it routes.",
        ),
    ] = None,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do; repeat for several.", show_default="inference"),
    ] = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once."""
    store = KeyStore(file or default_key_file())
    issued = store.add(
        name,
        scopes=tuple(scope or (Scope.INFERENCE,)),
        limits=KeyLimits(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            usd_per_day=usd_per_day,
            usd_per_month=usd_per_month,
        ),
    )
    if as_json:
        _print_json({**_as_dict(issued.key), "key": issued.text, "file": str(store.path)})
        return
    typer.echo(issued.text)
    typer.echo(
        f"This is the key {issued.key.name!r} (id {issued.key.id}). It will not be shown again: "
        f"{store.path} holds only a hash of it.",
        err=True,
    )


@app.command("list")
def list_keys(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List all keys, revoked ones included; never their secrets."""
    store = KeyStore(file or default_key_file())
    keys = store.all()
    if as_json:
        _print_json([_as_dict(key) for key in keys])
    elif keys:
        typer.echo(_table(keys))
    else:
        typer.echo(
            f"No keys in {store.path}: a server is open to whoever reaches it. "
            "`pilotage keys add --name NAME` makes the first."
        )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="The key's id, or its name.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key for good; running servers refuse it within a second."""
    revoked = KeyStore(file or default_key_file()).revoke(key)
    if as_json:
        _print_json(_as_dict(revoked))
    else:
        typer.echo(f"Revoked the key {revoked.name!r} (id {revoked.id}).")


def _as_dict(key: ApiKey) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(key)
    # The file leaves out what is not limited; a program that reads this finds every name.
    limits = {name: fields["limits"].get(name) for name in KeyLimits.__struct_fields__}
    return {**fields, "limits": limits}


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _table(keys: list[ApiKey]) -> str:
    """One line a key, never cut to the terminal's width: ids are there to be copied."""
    rows = [("ID", "NAME", "CREATED", "SCOPES", *_LIMITS, "STATE")]
    rows += [
        (
            key.id,
            # A file written by hand may hold what would steer the terminal.
            "".join(c if c.isprintable() else "?" for c in key.name),
            f"{key.created:%Y-%m-%d %H:%M}",
            ",".join(key.scopes),
            _limit(key.limits.requests_per_minute),
            _limit(key.limits.tokens_per_minute),
            _limit(key.limits.usd_per_day),
            _limit(key.limits.usd_per_month),
            "active" if key.revoked is None else f"revoked {key.revoked:%Y-%m-%d %H:%M}",
        )
        for key in keys
    ]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(set_cell_size(c, width) for c, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _limit(limit: int | Decimal | None) -> str:
    return "-" if limit is None else f"{limit:,f}" if isinstance(limit, Decimal) else f"{limit:,}"
