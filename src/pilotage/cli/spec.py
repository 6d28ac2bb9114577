"""``pilotage spec``: check spec files, print their JSON Schema."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pilotage.errors import SpecError
from pilotage.spec import (
    BudgetSpec,
    Deployment,
    Portfolio,
    ServingSpec,
    WorkloadSpec,
    json_schema,
    load_file,
)
from pilotage.spec.problems import InvalidSpecError, as_error
from pilotage.units import format_count, format_duration, format_rate, format_size

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
        if spec.budget is not None and (budget := _budget(spec.budget)):
            what += f", {budget} together"
    console.print(Text.assemble(str(file), ": ", ("ok", "green"), f", {what}"), soft_wrap=True)
    for deployment in deployments:
        console.print(Text.assemble("  ", (deployment.name, "bold")))
        for section, words in _lines(deployment):
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


def _lines(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """A line a section, in the words of the file."""
    model, slo = deployment.model, deployment.slo
    parts = [f"{model.name} from {model.source}"]
    if model.revision is not None:
        parts.append(f"revision {model.revision}")
    parts += [f"engine {model.engine}", f"dtype {model.dtype}"]
    if model.max_model_len is not None:
        parts.append(f"at most {model.max_model_len} tokens")
    yield "model", ", ".join(parts)
    if deployment.workload is not None:
        yield "workload", _workload(deployment.workload)
    promises = {"TTFT": slo.ttft_p99, "TPOT": slo.tpot_p99, "end to end": slo.e2e_p99}
    promised = [f"{name} {format_duration(value)}" for name, value in promises.items() if value]
    if promised:
        yield "slo", f"{', '.join(promised)} at p99"
    else:
        target = format_duration(deployment.ttft_target)
        yield "slo", f"none; admission aims at a first token within {target}"
    if deployment.budget is not None and (budget := _budget(deployment.budget)):
        yield "budget", budget
    yield "serving", _serving(deployment.serving)


def _workload(workload: WorkloadSpec) -> str:
    arrivals, prompt, completion = (
        workload.arrivals,
        workload.prompt_tokens,
        workload.completion_tokens,
    )
    rate, peak = format_rate(arrivals.rate), format_rate(arrivals.peak)
    words = f"{rate}, {'' if peak == rate else f'peak {peak}, '}{arrivals.shape}"
    words += f"; prompts of {format_count(prompt.p50)} tokens, {format_count(prompt.p99)} at p99"
    words += f"; completions of {format_count(completion.p50)}, "
    words += f"{format_count(completion.p99)} at p99"
    if (images := workload.images) is not None:
        number = "1 image" if images.count == 1 else f"{images.count} images"
        words += f"; {number} of {images.width}x{images.height}"
    return words


def _budget(budget: BudgetSpec) -> str:
    limits = {"a month": budget.usd_per_month, "a request": budget.usd_per_request}
    return ", ".join(f"${value:,.10g} {per}" for per, value in limits.items() if value is not None)


def _serving(serving: ServingSpec) -> str:
    workers = "1 worker" if serving.workers == 1 else f"{serving.workers} workers"
    if serving.kv_cache is not None:
        cache = f"KV cache {format_size(serving.kv_cache)} a worker"
    else:
        cache = f"KV caches from {serving.memory_fraction:.0%} of the free memory"
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    port = "any free port" if serving.port == 0 else f"port {serving.port}"
    return (
        f"{host}, {port}, {workers}, {cache}, "
        f"prefix caching {'on' if serving.prefix_caching else 'off'}, "
        f"{format_duration(serving.request_timeout)} a request at most"
    )
