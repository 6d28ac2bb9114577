"""``pilotage prove``: a load test that tells the truth, and a verdict against the SLO."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.flags import Overrides, apply_overrides, with_spec_flags
from pilotage.cli.prove_checks import check_compare, check_flags, given
from pilotage.cli.prove_command import shown_command
from pilotage.cli.prove_load import Arrivals, LoadFlags
from pilotage.cli.prove_payloads import PayloadFlags
from pilotage.errors import UsageError
from pilotage.spec import Deployment, SloSpec, load
from pilotage.units import parse_duration

if TYPE_CHECKING:
    from pilotage.prove.result import Report

_SPEC_SUFFIXES = (".yaml", ".yml")
_ARRIVALS, _PAYLOADS, _SEARCH, _REPORT = "Arrivals", "Payloads", "Search", "Report"


class FailOn(StrEnum):
    """Findings that ``--fail-on`` makes a failure of the command."""

    NEVER = "never"
    MISSED = "missed"
    UNPROVEN = "unproven"


class ApiName(StrEnum):
    """APIs that ``--api`` names."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    INFER = "infer"


def _option(panel: str, help_text: str, *names: str) -> object:
    return typer.Option(*names, help=help_text, rich_help_panel=panel)


@with_spec_flags(SloSpec)
def prove(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="URL|SPEC",
            help="An OpenAI-compatible server, or a spec file (.yaml) that says where and what. "
            "With --compare: report.json files.",
        ),
    ],
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Which deployment, when the spec is a portfolio.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The server, when it is not where the spec serves.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name.", show_default="the server's only one")
    ] = None,
    api: Annotated[ApiName | None, typer.Option(help="Which API.", show_default="chat")] = None,
    stream: Annotated[bool, typer.Option(help="Ask for streamed answers.")] = True,
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the API key.")
    ] = "PILOTAGE_API_KEY",
    start: Annotated[
        bool,
        typer.Option(
            "--start", help="Start `pilotage serve SPEC` first, time it, and stop it afterwards."
        ),
    ] = False,
    wait: Annotated[
        str, typer.Option(help="How long to wait for a server that is still loading.")
    ] = "30s",
    rate: Annotated[str | None, _option(_ARRIVALS, "Requests a second: 20/s, 100/min.")] = None,
    arrivals: Annotated[
        Arrivals, _option(_ARRIVALS, "How they come; spec: as its workload says.")
    ] = Arrivals.SPEC,
    burstiness: Annotated[
        float,
        _option(_ARRIVALS, "With --arrivals gamma: 1 is Poisson, less is burstier."),
    ] = 0.25,
    to_rate: Annotated[str | None, _option(_ARRIVALS, "Where --arrivals ramp ends.")] = None,
    ramp_steps: Annotated[int, _option(_ARRIVALS, "Steps of a ramp.")] = 5,
    concurrency: Annotated[
        int | None, _option(_ARRIVALS, "Closed loop: so many clients instead of a rate.")
    ] = None,
    trace: Annotated[
        Path | None,
        _option(_ARRIVALS, "Replay a trace: CSV as Azure's, or JSONL as Mooncake's."),
    ] = None,
    speed: Annotated[
        float | None, _option(_ARRIVALS, "How much faster than recorded; or give --rate.")
    ] = None,
    trace_start: Annotated[str | None, _option(_ARRIVALS, "Where in the trace to begin.")] = None,
    duration: Annotated[
        str | None,
        _option(_ARRIVALS, "How long to measure. Enough to judge a p99 if not given."),
    ] = None,
    requests: Annotated[str | None, _option(_ARRIVALS, "Requests to measure, instead.")] = None,
    warm_up: Annotated[
        str | None, _option(_ARRIVALS, "Sent first, in no figure. A tenth if not given.")
    ] = None,
    timeout: Annotated[str, _option(_ARRIVALS, "The longest a request may take.")] = "60s",
    seed: Annotated[
        int | None,
        _option(
            _ARRIVALS,
            "Same seed, same requests at the same times. Another each time if not given, and in "
            "the report: the same prompts again could be answered from the server's cache.",
        ),
    ] = None,
    senders: Annotated[
        int | None, _option(_ARRIVALS, "Sender processes. Chosen from the rate if not given.")
    ] = None,
    prompts: Annotated[Path | None, _option(_PAYLOADS, "Your prompts, a JSONL file.")] = None,
    prompt_tokens: Annotated[
        str | None, _option(_PAYLOADS, "Tokens of a prompt: p50:p99 such as 200:900, or one.")
    ] = None,
    completion_tokens: Annotated[
        str | None, _option(_PAYLOADS, "Tokens of an answer, likewise.")
    ] = None,
    shared_prefix: Annotated[
        str | None, _option(_PAYLOADS, "Tokens that prompts share: 512, or 512x8 in 8 groups.")
    ] = None,
    images: Annotated[
        str | None,
        _option(_PAYLOADS, "Images: WIDTHxHEIGHT to generate, a folder, or `receipts`."),
    ] = None,
    images_per_request: Annotated[int, _option(_PAYLOADS, "How many, with --images.")] = 1,
    extra: Annotated[
        str | None, _option(_PAYLOADS, "JSON object of further request fields.")
    ] = None,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early",
            help="Let answers end where the model ends them.",
            rich_help_panel=_PAYLOADS,
        ),
    ] = False,
    tokenizer: Annotated[
        str | None,
        _option(_PAYLOADS, "Whose tokenizer: a path, a source, or none.", "--tokenizer"),
    ] = None,
    find_capacity: Annotated[
        bool,
        typer.Option(
            "--find-capacity",
            help="Search the highest rate that meets the SLO.",
            rich_help_panel=_SEARCH,
        ),
    ] = False,
    min_rate: Annotated[str | None, _option(_SEARCH, "Give up below it.")] = None,
    max_rate: Annotated[str | None, _option(_SEARCH, "Go no higher.")] = None,
    precision: Annotated[float, _option(_SEARCH, "How close to get, as a share.")] = 0.05,
    confidence: Annotated[float, _option(_REPORT, "Of intervals and findings.")] = 0.95,
    out: Annotated[
        Path | None,
        _option(_REPORT, "Folder for the report. ./prove/TIME if not given.", "--out", "-o"),
    ] = None,
    plan: Annotated[
        Path | None, _option(_REPORT, "The planner's plan.json, to hold beside what is measured.")
    ] = None,
    fail_on: Annotated[
        FailOn,
        _option(_REPORT, "Exit 1 if the SLO is missed; or if it is unproven (invalid, too short)."),
    ] = FailOn.NEVER,
    metrics: Annotated[
        str | None, _option(_REPORT, "Address of the server's metrics, or none.")
    ] = None,
    gpu_metrics: Annotated[
        str | None,
        _option(_REPORT, "Address of an exporter of the GPU's use, such as dcgm-exporter."),
    ] = None,
    usd_per_hour: Annotated[float | None, _option(_REPORT, "What the deployment costs.")] = None,
    usd_per_million_input_tokens: Annotated[
        float | None, _option(_REPORT, "What the endpoint charges.")
    ] = None,
    usd_per_million_output_tokens: Annotated[
        float | None, _option(_REPORT, "What the endpoint charges.")
    ] = None,
    cold_start: Annotated[
        str | None, _option(_REPORT, "From start to ready, where you know it; see --start.")
    ] = None,
    probe_payload: Annotated[
        bool,
        typer.Option(
            "--probe-payload",
            help="Find the largest request body that is accepted.",
            rich_help_panel=_REPORT,
        ),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Put reports side by side.", rich_help_panel=_REPORT),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines.", rich_help_panel=_REPORT)
    ] = False,
    overrides: Overrides,
) -> None:
    """Send a workload to an OpenAI-compatible server and say whether the SLO holds.

    Latency counts from when a request was due, so that a server that stalls cannot hide it.
    Ctrl-C ends the load and reports what was measured.
    """
    flags = given(context)
    if compare:
        check_compare(flags)
        from pilotage.cli.prove_compare import run_compare  # noqa: PLC0415

        run_compare([Path(target) for target in targets], out=out, as_json=as_json)
        return
    if len(targets) != 1:
        raise UsageError(
            f"one target is tested at a time, got {len(targets)}",
            hint="Test each, then put the reports side by side with --compare",
        )
    (target,) = targets
    _check_numbers(confidence=confidence, senders=senders)
    for flag, price in (
        ("--usd-per-hour", usd_per_hour),
        ("--usd-per-million-input-tokens", usd_per_million_input_tokens),
        ("--usd-per-million-output-tokens", usd_per_million_output_tokens),
    ):
        if price is not None and not 0 < price < float("inf"):
            raise UsageError(f"a price is above 0, got {price:g}", where=flag)

    # What follows needs NumPy and SciPy, which other verbs should not wait for.
    from pilotage.cli.prove_run import Prices, SearchFlags, Test, run_test  # noqa: PLC0415
    from pilotage.cli.prove_screen import JsonScreen, LiveScreen  # noqa: PLC0415
    from pilotage.cli.prove_start import started  # noqa: PLC0415
    from pilotage.cli.prove_tokenizer import choose_tokenizer  # noqa: PLC0415
    from pilotage.prove.target.endpoint import parse_endpoint  # noqa: PLC0415
    from pilotage.spec.plan_file import read_plan  # noqa: PLC0415

    is_spec = target.endswith(_SPEC_SUFFIXES)
    spec = load(Path(target), deployment=deployment) if is_spec else Deployment()
    spec = apply_overrides(spec, overrides)
    check_flags(
        flags - {"fail_on"} if fail_on is FailOn.NEVER else flags,
        is_spec=is_spec,
        arrivals=arrivals.value,
        images=images,
        metrics=metrics,
        requests=requests,
        has_slo=bool(spec.slo.model_dump(exclude_none=True)),
    )
    key = os.environ.get(key_env, "").strip()
    if "key_env" in flags and not key:
        raise UsageError(f"the environment variable {key_env} is not set", where="--key-env")
    endpoint = parse_endpoint(
        url or (_served_at(spec) if is_spec else target),
        api=None if api is None else api.value,
        model=model or (spec.model_name if is_spec else None),
        key=key or None,
        key_name=key_env,
    )
    screen = JsonScreen() if as_json else LiveScreen()
    test = Test(
        deployment=spec,
        endpoint=endpoint,
        stream=stream,
        load=LoadFlags(
            rate=rate,
            arrivals=arrivals,
            burstiness=burstiness,
            to_rate=to_rate,
            ramp_steps=ramp_steps,
            concurrency=concurrency,
            trace=trace,
            speed=speed,
            trace_start=trace_start,
            duration=duration,
            requests=requests,
            warm_up=warm_up,
            seed=secrets.randbelow(2**31) if seed is None else seed,
        ),
        payloads=PayloadFlags(
            prompts=prompts,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            shared_prefix=shared_prefix,
            images=images,
            images_per_request=images_per_request,
            extra=extra,
            stop_early=stop_early,
        ),
        search=SearchFlags(find_capacity, min_rate, max_rate, precision),
        timeout_s=_seconds(timeout, "--timeout"),
        wait_s=_seconds(wait, "--wait"),
        senders=senders,
        confidence=confidence,
        tokenizer=choose_tokenizer(tokenizer, spec, screen.waiting),
        metrics="" if metrics == "none" else metrics,
        gpu_metrics=gpu_metrics,
        prices=Prices(usd_per_hour, usd_per_million_input_tokens, usd_per_million_output_tokens),
        plan=None if plan is None else read_plan(plan),
        cold_start_s=None if cold_start is None else _seconds(cold_start, "--cold-start"),
        probe=probe_payload,
        command=shown_command(sys.argv[1:]),
    )
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = out or Path("prove") / stamp
    try:
        if start:
            with started(
                Path(target) if is_spec else None, deployment, endpoint, screen.waiting
            ) as cold_start_s:
                report = run_test(replace(test, cold_start_s=cold_start_s), screen, folder)
        else:
            report = run_test(test, screen, folder)
    finally:
        screen.close()
    raise typer.Exit(_exit_code(report, fail_on))


def _exit_code(report: Report, fail_on: FailOn) -> int:
    if report.interrupted == "Ctrl-C":
        return 130
    if report.measures.outcomes.get("complete", 0) == 0:
        # A test that measured nothing of the server has failed, whatever is asked of the SLO.
        return 1
    finding = report.verdict.finding
    if fail_on is FailOn.MISSED:
        return 1 if finding == "missed" else 0
    return 1 if fail_on is FailOn.UNPROVEN and finding != "met" else 0


def _served_at(spec: Deployment) -> str:
    host = spec.serving.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - where the spec listens; here it is asked for
        host = "127.0.0.1"
    return (
        f"http://[{host}]:{spec.serving.port}"
        if ":" in host
        else f"http://{host}:{spec.serving.port}"
    )


def _seconds(text: str, flag: str) -> float:
    try:
        seconds = parse_duration(text)
    except UsageError as error:
        raise UsageError(error.message, where=flag, hint=error.hint) from None
    if seconds <= 0 and flag != "--wait":
        raise UsageError("should be longer than 0", where=flag)
    return seconds


def _check_numbers(*, confidence: float, senders: int | None) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"should be from 0.5 to below 1, got {confidence:g}", where="--confidence")
    if senders is not None and not 1 <= senders <= 256:
        raise UsageError(f"should be from 1 to 256, got {senders}", where="--senders")
