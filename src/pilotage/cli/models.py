"""``pilotage models``: see and steer the models of a running server."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotage.cli.models_client import Alias, ModelsClient
from pilotage.errors import UsageError
from pilotage.serve.control import AliasTarget, ModelStatus
from pilotage.units import format_duration, format_size, printable

app = typer.Typer(
    name="models", help="See and steer the models of a running server.", no_args_is_help=True
)
alias_app = typer.Typer(
    name="alias", help="Names that can be moved from model to model.", no_args_is_help=True
)
app.add_typer(alias_app)

UrlOption = Annotated[str, typer.Option(help="The server.")]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        help="A file that holds an API key of the scope admin.",
        show_default="the environment variable PILOTAGE_API_KEY",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelArgument = Annotated[str, typer.Argument(help="The model's name.")]
AliasArgument = Annotated[str, typer.Argument(help="The alias.")]
_DEFAULT_URL: Final = "http://127.0.0.1:8000"
_PIPE_WIDTH: Final = 500
_STYLES: Final = {"ready": "green", "loading": "yellow", "unloading": "yellow", "failed": "red"}


@app.command("list")
def list_models(
    *, url: UrlOption = _DEFAULT_URL, api_key_file: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List all models of the server, loaded or not, and where they are."""
    with ModelsClient(url, key_file=api_key_file) as client:
        models = client.models()
        if as_json:
            _print_json(models)
        else:
            _print_table(_models_table(models))


@app.command()
def load(
    model: ModelArgument,
    *,
    url: UrlOption = _DEFAULT_URL,
    api_key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model, and wait until it is ready."""
    with ModelsClient(url, key_file=api_key_file) as client:
        with Console(stderr=True).status(Text(f"Loading {printable(model)} …")):
            status = client.load(model)
        _tell(status, f"{model} is loaded: {_replicas(status)}.", as_json=as_json)


@app.command()
def unload(
    model: ModelArgument,
    *,
    url: UrlOption = _DEFAULT_URL,
    api_key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model's requests finish, then free its memory; its next request loads it again."""
    with ModelsClient(url, key_file=api_key_file) as client:
        with Console(stderr=True).status(Text(f"Unloading {printable(model)} …")):
            status = client.unload(model)
        _tell(status, f"{model} is unloaded.", as_json=as_json)


@alias_app.command("list")
def list_aliases(
    *, url: UrlOption = _DEFAULT_URL, api_key_file: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List all aliases and what is behind them."""
    with ModelsClient(url, key_file=api_key_file) as client:
        aliases = client.aliases()
        if as_json:
            _print_json(aliases)
        elif aliases:
            _print_table(_aliases_table(aliases))
        else:
            typer.echo("No aliases. `pilotage models alias set NAME MODEL` makes one.")


@alias_app.command("set")
def set_alias(
    name: AliasArgument,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL[=WEIGHT]", help="Models, and each one's share of the requests."
        ),
    ],
    *,
    url: UrlOption = _DEFAULT_URL,
    api_key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an alias, or move it; requests that came before finish where they are."""
    with ModelsClient(url, key_file=api_key_file) as client:
        # Names of models may have the mark in them that weights begin with.
        marked = any("=" in target for target in targets)
        names = [model.name for model in client.models()] if marked else []
        behind = [_target(target, names) for target in targets]
        alias = client.set_alias(name, behind)
        _tell(alias, f"{name} is now {_shares(alias)}.", as_json=as_json)


@alias_app.command("remove")
def remove_alias(
    name: AliasArgument,
    *,
    url: UrlOption = _DEFAULT_URL,
    api_key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an alias away; the models behind it stay as they are."""
    with ModelsClient(url, key_file=api_key_file) as client:
        client.remove_alias(name)
        _tell({"name": name, "deleted": True}, f"Removed the alias {name}.", as_json=as_json)


def _target(text: str, names: Collection[str]) -> AliasTarget:
    model, mark, weight = text.rpartition("=")
    if not mark or text in names:
        return AliasTarget(text)
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise UsageError(
            f"{printable(weight)!r} is no weight",
            where=printable(text),
            hint="A target is a model, or a model and a number above 0, such as small=90.",
        )
    return AliasTarget(model, number)


def _tell(answer: Any, sentence: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(answer)
    else:
        typer.echo(printable(sentence))


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def _print_table(table: Table) -> None:
    """A table; in a pipe as wide as it needs to be, as names are there to be read by others."""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column in {"RUNNING", "QUEUED", "WEIGHT", "SHARE"}
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _models_table(models: Iterable[ModelStatus]) -> Table:
    table = _table("MODEL", "STATE", "ENGINE", "TASK", "RUNNING", "QUEUED", "LAST USED", "WHERE")
    for model in models:
        used = model.last_used_s
        table.add_row(
            _cell(model.name),
            Text(model.state, style=_STYLES.get(model.state, "")),
            _cell(model.engine),
            _cell(model.task),
            str(sum(replica.running for replica in model.replicas)),
            str(model.queued),
            "-" if used is None else f"{format_duration(used, digits=2)} ago",
            _cell(model.error or _replicas(model)),
        )
    return table


def _aliases_table(aliases: Iterable[Alias]) -> Table:
    table = _table("ALIAS", "MODEL", "WEIGHT", "SHARE")
    for alias in aliases:
        for position, target in enumerate(alias.targets):
            table.add_row(
                _cell("" if position else alias.name),
                _cell(target.model),
                f"{target.weight:g}",
                f"{alias.share(target):.1%}",
            )
    return table


def _replicas(model: ModelStatus) -> str:
    """Where a model is, such as ``worker 0 (cpu:0-1, 312MiB)``."""
    places = []
    for replica in model.replicas:
        size = format_size(replica.memory_bytes, digits=3)
        is_ready = replica.state == "ready"
        places.append(
            f"worker {replica.worker} ({replica.device}, {size if is_ready else replica.state})"
        )
    return ", ".join(places) or "-"


def _shares(alias: Alias) -> str:
    """What is behind an alias, such as ``small (90.0%) and large (10.0%)``."""
    if len(alias.targets) == 1:
        return alias.targets[0].model
    shares = [f"{target.model} ({alias.share(target):.1%})" for target in alias.targets]
    return " and ".join([", ".join(shares[:-1]), shares[-1]])


def _cell(text: str) -> Text:
    return Text(printable(text))
