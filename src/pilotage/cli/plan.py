"""``pilotage plan``: the cheapest deployment that physics, prices and the SLO allow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pilotage.cli.flags import Overrides, with_spec_flags
from pilotage.cli.plan_calibrate import calibrate
from pilotage.cli.plan_check import check
from pilotage.cli.plan_choices import instance_types, strategies_of
from pilotage.cli.plan_group import PlanGroup
from pilotage.cli.plan_question import WorkloadFlags, config_of, under_trace, wanted
from pilotage.errors import UsageError
from pilotage.fetch import default_home
from pilotage.spec import BudgetSpec, ModelSpec, SloSpec

if TYPE_CHECKING:
    from pilotage.catalog.prices import PriceBook
    from pilotage.cli.plan_question import Wanted
    from pilotage.plan.found import Found
    from pilotage.plan.option import Option
    from pilotage.plan.question import Question
    from pilotage.plan.result import Plan, PortfolioPlan

app = typer.Typer(
    name="plan",
    cls=PlanGroup,
    help="The cheapest deployment that fits, keeps the SLO and stays within the budget.",
    no_args_is_help=False,
)
app.command("check")(check)
app.command("calibrate")(calibrate)

_WORKLOAD, _SEARCH, _PRICES, _OUTPUT = "Workload", "Search", "Prices", "Output"


class Commitment(StrEnum):
    """How long EC2 instances are committed to."""

    NONE = "none"
    ONE_YEAR = "1y"


def _option(panel: str, help_text: str, *names: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, metavar=metavar)


@app.command("spec", hidden=True)
@with_spec_flags(ModelSpec, SloSpec, BudgetSpec, exclude={"source"})
def plan(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPEC|SOURCE]",
            help="A spec file (.yaml), or where a model comes from: hf://owner/name, a path.",
        ),
    ] = None,
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Only this deployment of a portfolio.")
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="The model's config.json (or a model of the catalog that is built alike), of "
            "the deployment NAME.",
        ),
    ] = None,
    check_weights: Annotated[
        bool,
        typer.Option(
            "--check-weights",
            help="Count the parameters in the weights' own headers too (some kB a file).",
        ),
    ] = False,
    rate: Annotated[str | None, _option(_WORKLOAD, "Average rate: 20/s, 50K/day.")] = None,
    peak: Annotated[str | None, _option(_WORKLOAD, "Rate in the busiest minutes.")] = None,
    shape: Annotated[str | None, _option(_WORKLOAD, "steady, spiky or batch.")] = None,
    prompt_tokens: Annotated[
        str | None, _option(_WORKLOAD, "Tokens of a prompt: p50:p99 such as 200:900, or one.")
    ] = None,
    completion_tokens: Annotated[
        str | None, _option(_WORKLOAD, "Tokens of an answer, likewise.")
    ] = None,
    images: Annotated[str | None, _option(_WORKLOAD, "An image a request: 512x512.")] = None,
    trace: Annotated[
        Path | None,
        _option(_WORKLOAD, "Take rate, peak and lengths from a recorded trace, and replay it."),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        _option(
            _SEARCH,
            "Only this strategy; repeat for several. Those of shipping.target if not given.",
        ),
    ] = None,
    instance_type: Annotated[
        list[str] | None,
        _option(
            _SEARCH,
            "Only this EC2 instance type, such as g5.2xlarge; repeat for several.",
            metavar="TYPE",
        ),
    ] = None,
    assume: Annotated[
        list[str] | None,
        _option(
            _SEARCH,
            "Replace an assumption: quality=stored, burst=2h, bedrock.ttft_p99=800ms …",
            metavar="NAME=VALUE",
        ),
    ] = None,
    calibration: Annotated[
        Path | None, _option(_SEARCH, "This machine's calibration, from pilotage plan calibrate.")
    ] = None,
    seed: Annotated[int, _option(_SEARCH, "Of the simulations.")] = 0,
    region: Annotated[str, _option(_PRICES, "AWS region.")] = "us-east-1",
    price: Annotated[
        list[str] | None,
        _option(_PRICES, "A price of your own: ml.g5.2xlarge=1.52.", metavar="NAME=USD"),
    ] = None,
    spot: Annotated[bool, _option(_PRICES, "Pay spot prices.", "--spot")] = False,
    commitment: Annotated[
        Commitment, _option(_PRICES, "Commit to EC2 instances for a year.")
    ] = Commitment.NONE,
    as_json: Annotated[
        bool, _option(_OUTPUT, "Print the plan as JSON: what serve and prove read.", "--json")
    ] = False,
    output: Annotated[
        Path | None, _option(_OUTPUT, "Write that JSON to a file.", "--output", "-o")
    ] = None,
    html: Annotated[Path | None, _option(_OUTPUT, "Write one HTML page.")] = None,
    explain: Annotated[
        str | None, _option(_OUTPUT, "Say what a word of the plan means: TTFT, KV cache …")
    ] = None,
    overrides: Overrides,
) -> None:
    """Find the cheapest deployment that fits, keeps the SLO and stays within the budget.

    Exit code 0 when there is one; 1 when nothing fits: the page then names the nearest miss and
    what to relax. Also: pilotage plan check CLAIM, pilotage plan calibrate.
    """
    if explain is not None:
        _explain(explain, as_json=as_json)
        if target is None:
            return
    # What follows needs NumPy, which other verbs should not wait for.
    from pilotage.catalog.prices import load_price_book  # noqa: PLC0415
    from pilotage.plan.portfolio import plan_portfolio  # noqa: PLC0415
    from pilotage.plan.report import portfolio_json  # noqa: PLC0415

    flags = WorkloadFlags(rate, peak, shape, prompt_tokens, completion_tokens, images)
    asked = wanted(target, deployment, overrides, flags)
    home = default_home()
    prices = load_price_book(region, home=home, given=price or ())
    settings = _Settings(
        strategies=tuple(strategy or ()),
        instances=instance_types(instance_type or ()),
        market=_market(spot=spot, commitment=commitment),
        assume=tuple(assume or ()),
        seed=seed,
        config=tuple(config or ()),
        check_weights=check_weights,
        trace=trace,
        calibration=calibration,
        home=home,
    )
    questions = [settings.question(one, asked) for one in asked.deployments]
    if asked.portfolio is None:
        found = settings.search(questions[0], asked.deployments[0], prices)
        _show_plan(found, as_json=as_json, output=output, html=html)
        raise typer.Exit(0 if found.feasible else 1)
    searched = [
        settings.found(question, one, prices)
        for question, one in zip(questions, asked.deployments, strict=True)
    ]
    budget = asked.portfolio.budget
    portfolio = plan_portfolio(
        questions,
        prices,
        name=asked.name,
        usd_per_month=budget.usd_per_month if budget else None,
        usd_per_request=budget.usd_per_request if budget else None,
        found=searched,
        plans=[settings.whole(one) for one in searched],
    ).plan
    _show_portfolio(portfolio, portfolio_json(portfolio), as_json=as_json, output=output, html=html)
    raise typer.Exit(0 if portfolio.fits else 1)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """The flags that hold for every deployment."""

    strategies: tuple[str, ...]
    instances: tuple[str, ...]
    market: str
    assume: tuple[str, ...]
    seed: int
    config: tuple[str, ...]
    check_weights: bool
    trace: Path | None
    calibration: Path | None
    home: Path

    def question(self, deployment: Any, asked: Wanted) -> Question:
        """What a deployment asks."""
        from pilotage.cli.plan_model import planned_model  # noqa: PLC0415
        from pilotage.plan.assumptions import assume  # noqa: PLC0415
        from pilotage.plan.question import ask  # noqa: PLC0415
        from pilotage.plan.question import check as check_question  # noqa: PLC0415

        given = config_of(deployment, self.config, asked.file)
        where = str(asked.file) if asked.file else None
        if asked.portfolio is not None:
            where = f"{where}: {deployment.name}"
        if deployment.workload is None and self.trace is not None:
            deployment = WorkloadFlags(rate="1/s").over(deployment)
        model = planned_model(deployment.model, config=given)
        strategies, why = strategies_of(
            self.strategies, deployment.shipping, on_instances=bool(self.instances)
        )
        question = ask(
            deployment,
            model.anatomy,
            model=model.name,
            custom_weights=model.custom,
            strategies=strategies,
            instances=self.instances,
            market=self.market,  # type: ignore[arg-type]
            assumptions=assume(self.assume),
            seed=self.seed,
            where=where,
        )
        notes = (*question.notes, f"The model's shape is from {model.origin}.", *why)
        if self.check_weights:
            from pilotage.cli.plan_headers import checked_count  # noqa: PLC0415

            counted = checked_count(deployment.model, model.anatomy)
            notes = (*notes, f"{counted[0].upper()}{counted[1:]}.")
        question = dataclasses.replace(question, notes=notes)
        if self.trace is not None:
            question = under_trace(question, self.trace)
            check_question(question, where=where)
        return question

    def found(self, question: Question, deployment: Any, prices: PriceBook) -> Found:
        """The search's answer."""
        from pilotage.plan.search import search  # noqa: PLC0415

        return search(question, prices, extra=self.machine(question, deployment, prices))

    def search(self, question: Question, deployment: Any, prices: PriceBook) -> Plan:
        """The answer with its sensitivities."""
        return self.whole(self.found(question, deployment, prices))

    @staticmethod
    def whole(found: Found) -> Plan:
        """The plan with what becomes of it at other loads and lengths."""
        from pilotage.plan.sensitivity import sensitivity  # noqa: PLC0415

        return dataclasses.replace(found.plan, sensitivity=sensitivity(found))

    def machine(self, question: Question, deployment: Any, prices: PriceBook) -> Sequence[Option]:
        """This machine as an option, where it was calibrated; see `pilotage plan calibrate`."""
        from pilotage.cli.plan_calibrate import FILE_NAME  # noqa: PLC0415
        from pilotage.plan.host import HostCalibration  # noqa: PLC0415
        from pilotage.plan.this_machine import on_this_machine  # noqa: PLC0415

        found = HostCalibration.load(self.calibration or self.home / FILE_NAME)
        if found is None:
            if self.calibration is not None:
                raise UsageError("there is no such file", where=str(self.calibration))
            return ()
        option = on_this_machine(question, found, prices, deployment.serving.memory_fraction)
        return () if option is None else (option,)


def _market(*, spot: bool, commitment: Commitment) -> str:
    if spot and commitment is Commitment.ONE_YEAR:
        raise UsageError(
            "spot instances cannot be committed to", where="--spot", hint="Leave one of them out"
        )
    if spot:
        return "spot"
    return "one-year" if commitment is Commitment.ONE_YEAR else "on-demand"


def _explain(term: str, *, as_json: bool) -> None:
    from pilotage.plan.glossary import explain  # noqa: PLC0415
    from pilotage.plan.report import explanation  # noqa: PLC0415

    entry = explain(term)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(entry), ensure_ascii=False))
    else:
        Console(highlight=False).print(explanation(entry))


def _show_plan(plan_made: Plan, *, as_json: bool, output: Path | None, html: Path | None) -> None:
    from pilotage.plan.report import html_page, plan_json, terminal_page  # noqa: PLC0415

    data = plan_json(plan_made)
    _write(output, lambda: json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    _write(html, lambda: html_page(plan_made))
    if as_json:
        typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(terminal_page(plan_made))


def _show_portfolio(
    portfolio: PortfolioPlan,
    data: dict[str, Any],
    *,
    as_json: bool,
    output: Path | None,
    html: Path | None,
) -> None:
    from pilotage.plan.report import portfolio_html, portfolio_page  # noqa: PLC0415

    _write(output, lambda: json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    _write(html, lambda: portfolio_html(portfolio))
    if as_json:
        typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(portfolio_page(portfolio))


def _write(path: Path | None, text: Any) -> None:
    if path is None:
        return
    try:
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise UsageError(f"cannot be written: {reason}", where=str(path)) from None
