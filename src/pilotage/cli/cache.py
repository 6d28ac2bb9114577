"""``pilotage cache``: what is in the cache folder, whether it is right, and what may go."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size

from pilotage.cli.fetch_progress import shown_progress
from pilotage.errors import IntegrityError
from pilotage.fetch import Cache, CachedRevision, Limits, Store, default_home
from pilotage.units import format_size, parse_duration, parse_size, printable

app = typer.Typer(
    name="cache",
    help="List, verify, pin and prune the models in the cache folder.",
    no_args_is_help=True,
)

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The cache folder.", show_default="$PILOTAGE_HOME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|SOURCE", help="A model's name in the list or its beginning, or its source."
    ),
]


@app.command("list")
def list_models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models, the last used first, and what downloads are unfinished."""
    cache = _cache(home)
    revisions, unfinished = cache.revisions(), cache.unfinished()
    if as_json:
        _print_json(
            {
                "home": str(_home(home)),
                "revisions": [_as_dict(one) for one in revisions],
                "unfinished": [_as_dict(one) for one in unfinished],
            }
        )
        return
    if revisions:
        typer.echo(_table(revisions))
    else:
        typer.echo(f"No models in {_home(home)}.")
    for one in unfinished:
        state = "broken off; fetching it again goes on from there" if one.abandoned else "going on"
        typer.echo(f"unfinished: {printable(one.name)}, {_size(one.size)} on the disk, {state}")


@app.command()
def verify(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Hash every file again; what differs goes into quarantine and is fetched anew when needed."""
    with shown_progress() as progress:
        results = _cache(home).verify(progress=progress)
    damaged = [one for one in results if one.damaged]
    if as_json:
        _print_json([_as_dict(one) for one in results])
        raise typer.Exit(IntegrityError.exit_code if damaged else 0)
    for one in results:
        if not one.damaged:
            typer.echo(f"{one.name}: ok")
        else:
            files = ", ".join(map(printable, one.damaged[:5]))
            typer.echo(f"{one.name}: damaged: {files}; moved to {one.quarantined}")
    if damaged:
        raise IntegrityError(
            f"{len(damaged)} of {len(results)} models were damaged and are out of the cache",
            where=str(_home(home)),
            hint="Fetch them again; if it happens again, test the disk",
        )


@app.command()
def prune(
    *,
    keep_free: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Leave this much free on the disk: 20GiB.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep at most this much of models: 100GiB.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Remove what was not used for so long: 30d.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what nobody needs, then the longest unused models until the limits are met.

    Models that are pinned or in use always stay. Without a limit no model is removed.
    """
    limits = Limits(
        keep_free=None if keep_free is None else parse_size(keep_free),
        max_size=None if max_size is None else parse_size(max_size),
        older_than=None if older_than is None else parse_duration(older_than),
    )
    pruned = _cache(home).prune(limits, dry_run=dry_run)
    if as_json:
        _print_json({**_as_dict(pruned), "dry_run": dry_run})
        return
    verb = "would remove" if dry_run else "removed"
    for name in pruned.revisions:
        typer.echo(f"{verb} {name}")
    for path in pruned.leftovers:
        typer.echo(f"{verb} leftover {printable(path.name)}")
    typer.echo(f"{_size(pruned.freed)} {'would be ' if dry_run else ''}freed")
    if not pruned.met:
        typer.echo("The limits are not met: what is left is pinned or in use.", err=True)


@app.command()
def pin(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Keep a model, whatever `prune` is asked for."""
    _told(_cache(home).pin(name), "Pinned", as_json=as_json)


@app.command()
def unpin(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a model be pruned again."""
    _told(_cache(home).unpin(name), "Unpinned", as_json=as_json)


def _home(home: Path | None) -> Path:
    return home.absolute() if home is not None else default_home()


def _cache(home: Path | None) -> Cache:
    return Cache(Store(_home(home)))


def _told(revision: CachedRevision, verb: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(_as_dict(revision))
    else:
        typer.echo(f"{verb} {revision.name}.")


def _as_dict(value: Any) -> dict[str, Any]:
    return {
        key: str(item)
        if isinstance(item, Path)
        else [str(part) for part in item]
        if isinstance(item, tuple)
        else item
        for key, item in asdict(value).items()
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _table(revisions: list[CachedRevision]) -> str:
    """One line a model, never cut to the terminal's width: names are there to be copied."""
    rows = [("NAME", "SIZE", "SHARED", "LAST USED", "KEPT", "SOURCE")]
    rows += [
        (
            one.name,
            _size(one.size),
            _size(one.shared) if one.shared else "-",
            f"{datetime.fromtimestamp(one.last_used, UTC):%Y-%m-%d %H:%M}",
            ", ".join(
                word for word, true in (("pinned", one.pinned), ("in use", one.in_use)) if true
            )
            or "-",
            printable(one.source),
        )
        for one in revisions
    ]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(set_cell_size(c, width) for c, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _size(size: int) -> str:
    return format_size(size, digits=3)
