"""``pilotage spec``: check spec files, print their JSON Schema."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pilotage.cli.spec_summary import limits, lines
from pilotage.errors import SpecError
from pilotage.spec import Deployment, Portfolio, json_schema, load_file
from pilotage.spec.problems import InvalidSpecError, as_error

app = typer.Typer(
    name="spec", help="Check spec files; print their JSON Schema.", no_args_is_help=True
)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Spec files (YAML).")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: every field, defaults included.")
    ] = False,
) -> None:
    """Check spec files and say what they mean, with the defaults applied."""
    checked = [(file, _loaded(file)) for file in files]
    problems = [
        problem
        for _, result in checked
        if isinstance(result, SpecError)
        for problem in (result.problems if isinstance(result, InvalidSpecError) else (result,))
    ]
    if as_json:
        reports = [_as_json(file, result) for file, result in checked]
        typer.echo(json.dumps(reports, indent=2, ensure_ascii=False))
        raise typer.Exit(SpecError.exit_code if problems else 0)
    console = Console(highlight=False)
    for file, result in checked:
        if not isinstance(result, SpecError):
            _print_summary(console, file, result)
    if problems:
        raise as_error(problems)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec file, for editors that complete and check."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _loaded(file: Path) -> Deployment | Portfolio | SpecError:
    try:
        return load_file(file)
    except SpecError as error:
        return error


def _as_json(file: Path, result: Deployment | Portfolio | SpecError) -> dict[str, Any]:
    if isinstance(result, SpecError):
        return {"file": str(file), "ok": False, "error": result.as_dict()}
    return {"file": str(file), "ok": True, "spec": result.model_dump(mode="json")}


def _print_summary(console: Console, file: Path, spec: Deployment | Portfolio) -> None:
    deployments = spec.deployments if isinstance(spec, Portfolio) else (spec,)
    what = "1 deployment" if len(deployments) == 1 else f"{len(deployments)} deployments"
    if isinstance(spec, Portfolio):
        what = f"portfolio, {what}"
        if spec.budget is not None and (budget := limits(spec.budget)):
            what += f", {budget} together"
    console.print(Text.assemble(str(file), ": ", ("ok", "green"), f", {what}"), soft_wrap=True)
    for deployment in deployments:
        console.print(Text.assemble("  ", (deployment.name, "bold")))
        for section, words in lines(deployment):
            head = f"    {section:<10}"
            text = Text(_wrapped(head + words, indent=len(head), console=console))
            text.stylize("dim", 0, len(head))
            console.print(text, soft_wrap=True)


def _wrapped(text: str, indent: int, console: Console) -> str:
    """``text`` with a hanging indent on a terminal; one long line in a file or a pipe."""
    if not console.is_terminal:
        return text
    return textwrap.fill(
        text,
        width=max(console.width, indent + 20),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
