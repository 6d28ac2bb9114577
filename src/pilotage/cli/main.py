"""``pilotage``: the command and its verbs; every error a user can meet ends here."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pilotage import __version__
from pilotage.cli.verbs import VerbGroup
from pilotage.errors import PilotageError

app = typer.Typer(
    name="pilotage",
    cls=VerbGroup,
    help="From a one-page spec to a served, measured, paid-for model endpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
