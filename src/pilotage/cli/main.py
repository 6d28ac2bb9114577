"""``pilotage``: the command and its verbs; every error a user can meet ends here."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pilotage import __version__
from pilotage.cli import (
    cache,
    catalog,
    chat,
    devices,
    fetch,
    keys,
    models,
    plan,
    prove,
    route,
    serve,
    ship,
    spec,
    top,
    tracker,
)
from pilotage.cli.compile import compile_model
from pilotage.errors import PilotageError

app = typer.Typer(
    name="pilotage",
    help="From a one-page spec to a served, measured, paid-for model endpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fetch")(fetch.fetch)
app.command("compile")(compile_model)
app.command("serve")(serve.serve)
app.command("prove")(prove.prove)
app.command("tracker")(tracker.tracker)
app.command("chat")(chat.chat)
app.command("top")(top.top)
app.command("devices")(devices.devices)
app.add_typer(plan.app)
app.add_typer(route.app)
app.add_typer(ship.app)
app.add_typer(cache.app)
app.add_typer(spec.app)
app.add_typer(keys.app)
app.add_typer(models.app)
app.add_typer(catalog.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pilotage {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """From a one-page spec to a served, measured, paid-for model endpoint."""


def main() -> None:
    """Run the command; a `PilotageError` becomes one red line and its exit code."""
    try:
        app()
    except PilotageError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text("error: ", style="bold red") + Text(str(error)))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        # Another Ctrl-C while the process ends would only change its exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
