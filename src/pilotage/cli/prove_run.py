"""One test by ``pilotage prove``: from a target and flags to a report on disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pilotage import __version__
from pilotage.cli.prove_load import Arrivals, LoadFlags, plan_load, plan_search
from pilotage.cli.prove_payloads import PayloadFlags, plan_payloads
from pilotage.cli.prove_screen import Screen
from pilotage.cli.prove_tokenizer import NamedTokenizer
from pilotage.prove.analysis.costs import costs
from pilotage.prove.analysis.prediction import compare
from pilotage.prove.experiment import Experiment, Findings, StoppedError
from pilotage.prove.payload import PayloadSource
from pilotage.prove.report import write_all
from pilotage.prove.result import Client, Report, Target, Workload
from pilotage.prove.run import Stop
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.target.preflight import Preflight, preflight
from pilotage.prove.target.probe import probe_max_payload
from pilotage.prove.target.small_request import Dialect
from pilotage.spec import Deployment, WorkloadSpec
from pilotage.spec.plan_file import PlanFile

_PREFLIGHT_S = 60.0


@dataclass(frozen=True)
class Prices:
    """Prices that the user gave, in US dollars."""

    usd_per_hour: float | None = None
    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None


@dataclass(frozen=True)
class SearchFlags:
    """Flags of ``--find-capacity``, as they were typed."""

    wanted: bool = False
    lowest: str | None = None
    highest: str | None = None
    precision: float = 0.05


@dataclass(frozen=True)
class Test:
    """Everything a test needs to know.

    Attributes:
        deployment: Of the spec, or the default.
        endpoint: Whom to test.
        stream: Whether to ask for streams.
        load: When requests are sent.
        payloads: What they hold.
        search: Whether to look for the capacity.
        timeout_s: Longest time a request may take.
        wait_s: How long to wait for a server that is not ready.
        senders: Processes that send.
        confidence: Of intervals and findings.
        tokenizer: Counts tokens, and makes prompts.
        metrics: Address of the server's metrics; None for the usual one, "" for none.
        gpu_metrics: Address of an exporter of the GPU's use.
        prices: For the costs.
        plan: To compare with.
        cold_start_s: Seconds from start to ready, if known.
        probe: Whether to find the largest request body.
        command: The command line, for the report.
    """

    deployment: Deployment
    endpoint: Endpoint
    stream: bool
    load: LoadFlags
    payloads: PayloadFlags
    search: SearchFlags
    timeout_s: float
    wait_s: float
    senders: int | None
    confidence: float
    tokenizer: NamedTokenizer | None
    metrics: str | None
    gpu_metrics: str | None
    prices: Prices
    plan: PlanFile | None
    cold_start_s: float | None
    probe: bool
    command: str | None

    @property
    def workload(self) -> WorkloadSpec:
        """The spec's workload, or one request a second of the usual lengths."""
        if self.deployment.workload is not None:
            return self.deployment.workload
        return WorkloadSpec.model_validate({"arrivals": {"rate": "1/s"}})

    @property
    def arrivals(self) -> LoadFlags:
        """When requests are sent; without a workload in a spec, plainly Poisson."""
        own = self.load.concurrency is not None or self.load.trace is not None
        if self.deployment.workload is not None or self.load.arrivals is not Arrivals.SPEC or own:
            return self.load
        return replace(self.load, arrivals=Arrivals.POISSON)

    @property
    def slo(self) -> dict[str, float]:
        """What is promised, in seconds."""
        return self.deployment.slo.model_dump(exclude_none=True)


def run_test(test: Test, screen: Screen, folder: Path) -> Report:
    """Do ``test``, write its report into ``folder`` and return it.

    Ctrl-C ends the load; what was measured by then is reported. A second one ends everything.

    Raises:
        PilotageError: The target cannot be tested, or a flag cannot be used.
        KeyboardInterrupt: Stopped before anything was measured.
    """
    try:
        report, findings = asyncio.run(_test(test, screen))
    except StoppedError:
        raise KeyboardInterrupt from None
    files = write_all(report, findings.records, folder, note=screen.waiting)
    screen.report(report, files)
    return report


async def _test(test: Test, screen: Screen) -> tuple[Report, Findings]:
    # Everything that can be wrong in flags is found before the server hears anything.
    searching = None
    if test.search.wanted:
        searching = plan_search(
            test.arrivals,
            test.workload,
            lowest=test.search.lowest,
            highest=test.search.highest,
            precision=test.search.precision,
        )
    planned = None if searching is not None else plan_load(test.arrivals, test.workload)
    tokenizer = test.tokenizer
    _check_payloads(test)
    flight = await preflight(
        test.endpoint,
        stream=test.stream,
        timeout_s=min(_PREFLIGHT_S, test.timeout_s),
        wait_s=test.wait_s,
        tokenizer=tokenizer.tokenizer if tokenizer else None,
        progress=screen.waiting,
    )
    source = plan_payloads(
        test.payloads, test.workload, flight, tokenizer.tokenizer if tokenizer else None
    )
    screen.target(flight, planned.load.description if planned else None, source.description)
    largest = None
    if test.probe:
        screen.waiting("looking for the largest request body that is accepted")
        largest = await probe_max_payload(
            flight.endpoint, dialect=flight.dialect, timeout_s=test.timeout_s
        )
        if largest.note is not None:
            screen.waiting(f"the largest request body: {largest.note}")
    experiment = Experiment(
        flight=flight,
        source=source,
        slo=test.slo,
        watcher=screen,
        seed=test.load.seed,
        timeout_s=test.timeout_s,
        senders=test.senders,
        confidence=test.confidence,
        tokenizer=tokenizer.tokenizer if tokenizer else None,
        tokenizer_name=tokenizer.name if tokenizer else None,
        metrics=test.metrics,
        gpu_metrics=test.gpu_metrics,
    )
    with _ctrl_c(experiment.stop, screen):
        if searching is not None:
            findings = await experiment.search(*searching)
        else:
            assert planned is not None
            findings = await experiment.measure(planned)
    report = _report(test, flight, source, findings)
    if largest is not None:
        report = msgspec.structs.replace(
            report, max_payload=largest.bytes, max_payload_is_bound=largest.is_bound
        )
    return report, findings


def _check_payloads(test: Test) -> None:
    """Make the payloads' source once, as if for a server that takes everything: it reads files."""
    unknown = Preflight(test.endpoint, test.stream, usage=False, dialect=Dialect())
    plan_payloads(test.payloads, test.workload, unknown, None)


def _report(test: Test, flight: Preflight, source: PayloadSource, findings: Findings) -> Report:
    endpoint, trial = flight.endpoint, findings.trial
    capacity = findings.capacity.rate if findings.capacity is not None else None
    paid = costs(
        findings.measures,
        usd_per_hour=test.prices.usd_per_hour,
        usd_per_million_input_tokens=test.prices.usd_per_million_input_tokens,
        usd_per_million_output_tokens=test.prices.usd_per_million_output_tokens,
        capacity_rate=capacity,
    )
    has_price = test.prices != Prices()
    cores = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    named = test.deployment.name if "name" in test.deployment.model_fields_set else endpoint.host
    return Report(
        name=named,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pilotage=__version__,
        target=Target(
            url=endpoint.post_url,
            model=endpoint.model or "",
            api=endpoint.api,
            stream=flight.stream,
            server=flight.server,
        ),
        workload=Workload(
            arrivals=findings.load.description,
            payloads="; ".join([source.description, *flight.notes]),
            seed=test.load.seed,
            open_loop=trial.open_loop,
            planned=trial.planned,
            repeated=sum(record.repeat > 0 for record in trial.records),
            timeout=test.timeout_s,
        ),
        client=Client(
            machine=_processor(), cores=len(cores), same_machine=endpoint.is_same_machine()
        ),
        slo=test.slo,
        verdict=findings.verdict,
        validity=findings.validity,
        measures=findings.measures,
        warm_up=findings.warm_up,
        interrupted=findings.stopped,
        series=findings.series,
        server=findings.server,
        capacity=findings.capacity,
        costs=paid if has_price else None,
        plan=()
        if test.plan is None
        else compare(
            test.plan,
            findings.measures,
            costs=paid if has_price else None,
            capacity=findings.capacity,
        ),
        cold_start=test.cold_start_s,
        command=test.command,
    )


@contextlib.contextmanager
def _ctrl_c(stop: Stop, screen: Screen) -> Iterator[None]:
    """Within, the first Ctrl-C ends the load, and the second one everything."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop.now("Ctrl-C")
        screen.waiting("stopped by Ctrl-C: writing what was measured; once more to leave at once")
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
