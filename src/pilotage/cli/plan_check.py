"""``pilotage plan check``: whether a claim can be true, with the arithmetic."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pilotage.cli.plan_question import image as image_size
from pilotage.errors import UsageError
from pilotage.fetch import default_home
from pilotage.spec import ModelSpec
from pilotage.units import parse_duration

if TYPE_CHECKING:
    from pilotage.catalog.anatomy import Anatomy
    from pilotage.plan.claims import Claim, Verdict

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "yellow")}


def check(
    claim: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLAIM]",
            help='A sentence, such as "Llama 3.1 8B, 200 tokens, p99 1s on an L4", or flags.',
        ),
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(help="The model: a name of the catalog, hf://owner/name, a config.json."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Accelerator: T4, L4, H100 …")] = None,
    count: Annotated[int, typer.Option(help="How many of them.")] = 1,
    dtype: Annotated[
        str | None, typer.Option(help="Number format.", show_default="what the files hold")
    ] = None,
    latency: Annotated[str | None, typer.Option(help="End to end, at p99: 387ms.")] = None,
    ttft: Annotated[str | None, typer.Option(help="First token, at p99.")] = None,
    throughput: Annotated[float | None, typer.Option(help="Output tokens a second.")] = None,
    cost: Annotated[float | None, typer.Option(help="US dollars a month.")] = None,
    prompt: Annotated[int, typer.Option(help="Prompt tokens.")] = 1,
    completion: Annotated[int, typer.Option(help="Completion tokens.")] = 1,
    image: Annotated[str | None, typer.Option(help="An image a request: 512x512.")] = None,
    workers: Annotated[
        int, typer.Option(help="Worker processes, each with a copy of the model.")
    ] = 1,
    region: Annotated[str, typer.Option(help="AWS region, for --cost.")] = "us-east-1",
    price: Annotated[
        list[str] | None, typer.Option(metavar="NAME=USD", help="A price of your own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a claim is possible or impossible, with the arithmetic.

    Impossible is certain: no software beats these bounds. Possible says only that the bounds leave
    room. Exit code 0 when possible, 1 when impossible.
    """
    from pilotage.catalog.prices import load_price_book  # noqa: PLC0415  needs time to load
    from pilotage.plan.claims import Claim, check_claim, judge, read_claim  # noqa: PLC0415
    from pilotage.plan.claims.reading import device_named  # noqa: PLC0415

    named = _model(model) if model else None
    verdict: Verdict | None = judge(claim, named) if claim else None
    if verdict is None:
        if claim:
            asked: Claim = read_claim(claim)
        elif named is None:
            raise UsageError(
                "a claim is missing",
                hint='Write one: pilotage plan check "Llama 3.1 8B, 200 tokens, p99 1s on an L4"; '
                "or give --model and --device",
            )
        else:
            asked = Claim(model=named)
        size = image_size(image) if image else None
        given: dict[str, Any] = {
            "model": named,
            "device": device_named(device) if device else None,
            "dtype": dtype,
            "latency_p99_s": parse_duration(latency) if latency else None,
            "ttft_p99_s": parse_duration(ttft) if ttft else None,
            "tokens_per_s": throughput,
            "usd_per_month": cost,
            "count": count if count != 1 else None,
            "prompt": prompt if prompt != 1 else None,
            "completion": completion if completion != 1 else None,
            "copies": workers if workers != 1 else None,
            "images": 1 if size else None,
            "image_width": size["width"] if size else None,
            "image_height": size["height"] if size else None,
        }
        asked = dataclasses.replace(
            asked, **{name: value for name, value in given.items() if value is not None}
        )
        prices = (
            load_price_book(region, home=default_home(), given=price or ())
            if asked.usd_per_month is not None
            else None
        )
        verdict = check_claim(asked, prices)
    if as_json:
        data = {"possible": verdict.possible, **dataclasses.asdict(verdict)}
        typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        _show(verdict)
    raise typer.Exit(0 if verdict.possible else 1)


def _model(name: str) -> Anatomy:
    from pilotage.cli.plan_model import planned_model  # noqa: PLC0415
    from pilotage.plan.claims.reading import find_model  # noqa: PLC0415

    if "://" not in name and not name.endswith((".json", ".gguf")) and name[:1] not in "./~":
        found = find_model(name)
        if found is not None:
            return found
    if name.endswith(".json"):
        return planned_model(ModelSpec(), config=name).anatomy
    return planned_model(_spec(name)).anatomy


def _spec(source: str) -> ModelSpec:
    from pilotage.cli.flags import apply_overrides  # noqa: PLC0415
    from pilotage.spec import Deployment  # noqa: PLC0415

    return apply_overrides(Deployment(), {"model": {"source": source}}).model


def _show(verdict: Verdict) -> None:
    console = Console(highlight=False)
    word, style = ("possible", "green") if verdict.possible else ("impossible", "red")
    console.print(Text.assemble((word, f"bold {style}"), f": {verdict.claim}"))
    for one in verdict.findings:
        mark, tone = _MARKS[one.holds]
        console.print(Text.assemble((f"  {mark} ", tone), (one.limit, "bold"), f": {one.message}"))
        if one.source:
            console.print(Text(f"    {one.source}", style="dim"))
    if verdict.instead:
        console.print(f"  → {verdict.instead}")
