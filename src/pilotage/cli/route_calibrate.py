"""``pilotage route calibrate``: which policy beats one model on the user's own requests, if any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pilotage.errors import UsageError
from pilotage.spec import load
from pilotage.spec.routing import RoutingSpec
from pilotage.units import printable

if TYPE_CHECKING:
    from pilotage.route.calibration import Calibration

_STEPS = {
    "costs": "counting tokens and costs",
    "estimator": "fitting the classifier",
    "verifiers": "fitting the verifiers",
    "thresholds": "certifying thresholds",
    "policies": "replaying policies",
}
_MODELS = ("classifier", "logprobs", "scorer", "judge", "accept", "later")
"""Fields of the file that hold models: numbers for machines, left out of what is printed."""


def calibrate_command(
    data: Annotated[
        Path,
        typer.Argument(
            help="JSON lines with prompt (or messages) and scores a tier, and logprobs, judge, "
            "tokens and answers where there are any; or CSV with a column prompt and one a tier."
        ),
    ],
    *,
    spec: Annotated[Path, typer.Option(help="The deployment's spec, with its routing section.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write it.",
            show_default="routing.calibration of the spec, or SPEC.routing.json",
        ),
    ] = None,
    quality_target: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Mean quality that is enough.",
            show_default="95 % of the best single model's, without a budget",
        ),
    ] = None,
    usd_per_request: Annotated[
        str | None, typer.Option(metavar="USD", help="Most that a request costs on average.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="With which thresholds hold.")
    ] = 0.9,
    completion_tokens: Annotated[
        int,
        typer.Option(
            min=1, max=1_000_000, help="Assumed of answers whose tokens and text are missing."
        ),
    ] = 256,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="TIER=NAME", help="What the data calls a tier."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit routing on your own data, and say whether it pays.

    Fits on a part of the rows, chooses on a second, certifies thresholds on a third, and measures
    on the rest. A policy that does not beat the best single model and the linear mix of models
    there is not run unless forced: "one model for everything" is an answer too.
    """
    routing = _routing(spec)
    budget = _usd(usd_per_request)
    names = _names(routing, column or [])
    path = output or routing.calibration or spec.with_name(f"{spec.stem}.routing.json")
    from pilotage.route.calibration.calibrate import Wish, calibrate  # noqa: PLC0415  needs NumPy
    from pilotage.route.calibration.reading import read_data  # noqa: PLC0415
    from pilotage.route.prices import tier_price  # noqa: PLC0415

    prices = {tier.name: tier_price(tier) for tier in routing.tiers}
    wish = Wish(
        quality=quality_target,
        usd=budget,
        confidence=confidence,
        completion_tokens=completion_tokens,
    )
    with _shown() as step:
        read = read_data(data, names, lambda rows: step(f"reading: {rows:,} rows"))
        found = calibrate(
            read, routing, prices, wish, step=lambda name: step(_STEPS.get(name, name))
        )
    found.save(path)
    if as_json:
        printed: dict[str, Any] = msgspec.to_builtins(found)
        for name in _MODELS:
            del printed[name]
        typer.echo(json.dumps({"file": str(path), **printed}, indent=1))
        return
    _print_page(found, routing, path)


def _routing(spec: Path) -> RoutingSpec:
    routing = load(spec).routing
    if routing is None:
        raise UsageError(
            "there is no routing section",
            where=printable(str(spec)),
            hint="It names the tiers that the data's scores are of",
        )
    return routing


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        raise UsageError(
            "should be an amount of US dollars above 0, such as 0.002", where="--usd-per-request"
        )
    return amount


def _names(routing: RoutingSpec, columns: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What the data may call each tier: what the user says, its name, its backends' models."""
    names = {
        tier.name: [
            tier.name,
            *dict.fromkeys(backend.model for backend in tier.backends if backend.model),
        ]
        for tier in routing.tiers
    }
    for text in columns:
        tier, equals, name = text.partition("=")
        if not equals or not name or tier not in names:
            raise UsageError(
                f'"{printable(text)}" should be TIER=NAME, with a tier of {", ".join(names)}',
                where="--column",
            )
        names[tier].insert(0, name)
    return names


@contextmanager
def _shown() -> Iterator[Any]:
    """What is being done, on standard error, where that is a terminal."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    ) as progress:
        task = progress.add_task("reading")
        yield lambda what: progress.update(task, description=what)


def _print_page(found: Calibration, routing: RoutingSpec, path: Path) -> None:
    console = Console(highlight=False)
    parts = ", ".join(f"{count:,} to {part}" for part, count in found.data.parts.items())
    console.print(f"{found.data.rows:,} requests: {parts}. All figures are of the last.")
    if found.data.estimated_tokens:
        console.print(
            f"The tokens of {found.data.estimated_tokens:.0%} of the answers are estimated: bring "
            "tokens a tier for costs that hold."
        )
    console.print(_figures(found))
    for line in _thresholds(found):
        console.print(line, soft_wrap=True, markup=False)
    chosen = found.chosen if found.chosen_tier is None else f"static, tier {found.chosen_tier}"
    console.print(f"\n[bold]Chosen: {chosen}.[/bold] {_sentence(found.reason)}", soft_wrap=True)
    if found.chosen == "static":
        console.print("Do not route or cascade here: more requests may show otherwise.")
    for line in _to_do(found, routing, path):
        console.print(line, soft_wrap=True, markup=False)


def _figures(found: Calibration) -> Table:
    table = Table(
        "", "quality", "$ / 1,000", "answers", "against the mix", "cost saved", "beats it"
    )
    for name in table.columns[1:]:
        name.justify = "right"
    for tier, single in found.singles.items():
        figures = (f"{single.quality:.3f}", f"{single.usd * 1000:.4g}", "1.00")
        table.add_row(tier, *figures)
    table.add_section()
    for policy, fit in found.policies.items():
        one, saved = fit.comparison, fit.comparison.saved
        table.add_row(
            policy,
            f"{one.quality:.3f}",
            f"{one.usd * 1000:.4g}",
            f"{one.generations:.2f}",
            f"{one.over_mix.value:+.3f} ({one.over_mix.low:+.3f} to {one.over_mix.high:+.3f})",
            f"{_percent(saved.value)} ({_percent(saved.low)} to {_percent(saved.high)})",
            "[green]yes[/green]" if one.beats else "[red]no[/red]",
        )
    return table


def _thresholds(found: Calibration) -> Iterator[str]:
    if len(found.tiers) > 1 and not found.setup.signals:
        yield (
            "No cascade could be measured: it needs answers, log-probabilities or a judge's "
            "scores in the data."
        )
    for tier, one in found.thresholds.items():
        if one.value is None or one.quality is None:
            yield (
                f"{tier}: no threshold is certified to give answers of {found.goal.quality:.3f} "
                "quality; a cascade passes it over."
            )
        else:
            yield (
                f"{tier}: answers of at least {one.value:.3f} are taken, {one.accepted:,} of "
                f"{one.rows:,}, with {one.quality:.3f} quality; with {found.goal.confidence:.0%} "
                f"confidence {found.goal.quality:.3f} or more."
            )


def _to_do(found: Calibration, routing: RoutingSpec, path: Path) -> Iterator[str]:
    """What the spec has to say for the choice to run."""
    yield f"Written to {printable(str(path))}."
    wanted: dict[str, tuple[str, str]] = {"routing.policy": (routing.policy, found.chosen)}
    if found.chosen == "static":
        wanted["routing.tier"] = (routing.tier or routing.tier_names[-1], str(found.chosen_tier))
    else:
        wanted["routing.estimator.kind"] = (routing.estimator.kind, found.setup.estimator)
        if routing.calibration is None or routing.calibration.resolve() != path.resolve():
            yield f"In the spec: routing.calibration: {printable(str(path))}"
    for field, (now, then) in wanted.items():
        if now != then:
            yield f"In the spec: {field}: {then}"
    if found.chosen in ("cascade", "cascade_routing"):
        missing = [one for one in found.setup.signals if one not in routing.verifier.checks]
        if missing:
            checks = [*routing.verifier.checks, *missing]
            yield f"In the spec: routing.verifier.checks: [{', '.join(checks)}]"
        if set(found.setup.signals) != {"logprobs"} and not routing.stream_buffer:
            # Of the beginning that is held back only log-probabilities say anything.
            yield (
                "Scorer and judge read whole answers. For streams, in the spec: "
                "routing.stream_buffer: true"
            )


def _percent(share: float) -> str:
    return f"{round(share, 2) + 0.0:.0%}"  # adding 0 turns a rounded -0 into 0


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
