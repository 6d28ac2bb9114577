"""What surrounds the measurement, as tables: validity, search, server side, cost, plan, set-up."""

from __future__ import annotations

from typing import Literal

from pilotage.prove.report import figures
from pilotage.prove.report.facts import (
    estimate_cell,
    failures_table,
    finding_cell,
    latency_table,
    slo_table,
    summary_table,
    tokens_table,
)
from pilotage.prove.report.table import Cell, Table, Tone, facts_table
from pilotage.prove.result import Distribution, Estimate, Report, ServerSample, Step

_SERVER_MEASURES = {
    "running": ("Requests being generated", ""),
    "waiting": ("Requests waiting", ""),
    "batch_size": ("Sequences a step", ""),
    "kv_usage": ("KV cache in use", "share"),
    "cpu": ("CPU cores in use", ""),
    "gpu": ("GPU time in use", "share"),
    "output_tokens_rate": ("Output tokens", "/s"),
}


def sections(report: Report) -> tuple[Table, ...]:
    """All tables that have something to show, in the order of reading."""
    tables = (
        slo_table(report),
        latency_table(report),
        summary_table(report),
        capacity_table(report),
        failures_table(report),
        tokens_table(report),
        plan_table(report),
        cost_table(report),
        server_table(report),
        validity_table(report),
        setup_table(report),
    )
    return tuple(table for table in tables if table.rows)


def cautions(report: Report) -> tuple[tuple[Tone, str], ...]:
    """What a reader must know before any number: why it is invalid, that it was cut short."""
    found: list[tuple[Tone, str]] = [("bad", reason) for reason in report.validity.reasons]
    if report.interrupted:
        found.append(("unsure", f"The run was ended early: {report.interrupted}."))
    if report.client.same_machine:
        found.append(("unsure", "The server ran on the client's machine and shared its cores."))
    found.extend(("unsure", warning) for warning in report.validity.warnings)
    if report.server is not None and report.server.missing:
        found.append(("unsure", f"Nothing from the server's side: {report.server.missing}."))
    return tuple((tone, _sentence(text)) for tone, text in found)


def _sentence(text: str) -> str:
    """``text`` from a capital to a full stop, however its author began and ended it."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def repeat_text(report: Report) -> tuple[str, str]:
    """How to repeat the run: (a command to copy or nothing, a sentence)."""
    sentence = (
        f"Seed {report.workload.seed} with the same arrivals and payloads sends the same requests "
        "at the same times."
    )
    return report.command or "", sentence


def validity_table(report: Report) -> Table:
    """Whether the client kept up, in numbers."""
    validity = report.validity
    facts = [
        (
            "The client kept up",
            Cell("yes", tone="good") if validity.valid else Cell("no", "", "bad"),
        )
    ]
    if validity.send_delay is not None:
        delay = validity.send_delay
        rest = f"p99 {figures.seconds(delay.p99)}, at most {figures.seconds(delay.max)}"
        facts.append(("Requests sent late by", Cell(f"{figures.seconds(delay.p50)} p50", rest)))
    if validity.loop_lag_p99 is not None:
        lag = Cell(f"{figures.seconds(validity.loop_lag_p99)} p99", "of the worst sender")
        facts.append(("Tokens noticed late by", lag))
    if validity.limit is not None:
        facts.append(("Invalid from", Cell(figures.seconds(validity.limit))))
    busiest = f"the busiest used {figures.share(validity.sender_cpu)} of a core"
    facts.append(("Sender processes", Cell(figures.count(validity.senders), busiest)))
    return facts_table("validity", "The client", facts)


def capacity_table(report: Report) -> Table:
    """The rates of a capacity search, ascending."""
    if report.capacity is None:
        return Table("capacity", "Capacity", (), ())
    steps = sorted(report.capacity.steps, key=lambda step: step.rate)
    head = ("Rate", "TTFT p99", "TPOT p99", "E2E p99", "Goodput", "Failed", "SLO")
    rows = tuple(_capacity_row(step) for step in steps)
    return Table(
        "capacity", "Capacity", head, rows, report.capacity.sentence, frozenset({0, len(head) - 1})
    )


def _p99(step: Step, metric: Literal["ttft", "tpot", "e2e"]) -> Estimate | None:
    """The p99 of a step: where it is promised, with the requests known to be late at a stop.

    The others are of what was answered, and of a step that was ended early those were the fast.
    """
    for one in step.verdict.objectives:
        if (one.metric, one.quantile) == (metric, 0.99) and one.total:
            return one.measured
    found: Distribution | None = getattr(step.measures, metric)
    return found.p99 if found is not None else None


def _capacity_row(step: Step) -> tuple[Cell, ...]:
    measures = step.measures
    complete = measures.outcomes.get("complete", 0)
    failed = 1 - complete / measures.requests if measures.requests else None
    finding = finding_cell(step.verdict.finding)
    taken: Tone = "good" if step.holds else "bad" if finding.tone == "good" else finding.tone
    expected = "met" if step.holds else "missed"
    because = [] if step.verdict.finding == expected else [finding.text]
    if step.stopped_early:
        because.append(step.stopped_early)
    elif not step.valid:
        because.append("the client did not keep up")
    return (
        Cell(figures.offered(step.rate)),
        *(estimate_cell(_p99(step, metric)) for metric in ("ttft", "tpot", "e2e")),
        Cell(figures.rate(measures.goodput)),
        Cell(figures.share(failed)),
        Cell("holds" if step.holds else "does not hold", ", ".join(because), taken),
    )


def server_table(report: Report) -> Table:
    """What the server said of itself."""
    side = report.server
    if side is None:
        return Table("server", "The server's side", (), ())
    rows = []
    for name, (label, unit) in _SERVER_MEASURES.items():
        mean, peak = _sampled(side.mean, name), _sampled(side.peak, name)
        if mean is not None or peak is not None:
            cells = Cell(figures.quantity(mean, unit)), Cell(figures.quantity(peak, unit))
            rows.append((Cell(label), *cells))
    for label, value in (
        ("Time in its queue", side.queue_mean),
        ("Its own time to first token", side.ttft_mean),
    ):
        if value is not None:
            rows.append((Cell(label), Cell(figures.seconds(value)), Cell(figures.NOTHING)))
    kind = f"{side.kind} metrics from" if side.kind else "From"
    note = f"{kind} {side.source}." if rows else ""
    return Table("server", "The server's side", ("Measure", "Mean", "Peak"), tuple(rows), note)


def _sampled(sample: ServerSample | None, name: str) -> float | None:
    value: float | None = getattr(sample, name, None)
    return value


def cost_table(report: Report) -> Table:
    """What it costs, and what is paid for nothing."""
    costs = report.costs
    if costs is None:
        return Table("costs", "Cost", (), ())
    given = (
        ("an hour", costs.usd_per_hour),
        ("a million input tokens", costs.usd_per_million_input_tokens),
        ("a million output tokens", costs.usd_per_million_output_tokens),
    )
    prices = ", ".join(f"{figures.usd(value)} {name}" for name, value in given if value is not None)
    figures_found = (
        ("A million requests", costs.per_million_requests),
        ("A million tokens", costs.per_million_tokens),
        ("A million output tokens", costs.per_million_output_tokens),
    )
    facts = [(name, Cell(figures.usd(value))) for name, value in figures_found if value is not None]
    if costs.idle_share is not None:
        facts.append(
            ("Paid for nothing", Cell(figures.share(costs.idle_share), costs.idle_basis or ""))
        )
    if costs.idle_usd_per_month is not None:
        facts.append(("That is a month", Cell(figures.usd(costs.idle_usd_per_month))))
    return facts_table("costs", "Cost", facts, f"From {prices}." if prices else "")


def plan_table(report: Report) -> Table:
    """Predicted beside measured."""
    rows = []
    for line in report.plan:
        tone: Tone = "" if line.within is None else "good" if line.within else "bad"
        inside = {None: figures.NOTHING, True: "inside", False: "outside"}[line.within]
        rows.append(
            (
                Cell(line.name),
                Cell(figures.quantity(line.predicted, line.unit)),
                Cell(
                    figures.quantity(line.measured, line.unit),
                    figures.interval(line.low, line.high, line.unit),
                ),
                Cell(figures.change(line.error)),
                Cell(inside, tone=tone),
            )
        )
    head = ("Figure", "Plan", "Measured", "Plan's error", "The interval")
    return Table("plan", "Plan and reality", head, tuple(rows), text_columns=frozenset({0, 4}))


def setup_table(report: Report) -> Table:
    """What was sent where, from where, when."""
    target, workload, client = report.target, report.workload, report.client
    streamed = "streamed" if target.stream else "not streamed"
    loop = "open loop" if workload.open_loop else "closed loop"
    payload = ""
    if report.max_payload is not None:
        bound = "at least " if report.max_payload_is_bound else ""
        payload = f"{bound}{figures.size(report.max_payload)}"
    facts = [
        ("Target", Cell(target.url, verbatim=True)),
        ("Model", Cell(target.model, verbatim=True)),
        ("Interface", Cell(f"{target.api}, {streamed}")),
        ("Server", Cell(target.server or "", verbatim=True)),
        ("Arrivals", Cell(f"{workload.arrivals} ({loop})")),
        ("Payloads", Cell(workload.payloads, _repeated(report))),
        ("Requests planned", Cell(figures.count(workload.planned))),
        ("Warm-up", Cell(_warm_up(report))),
        ("A request may take", Cell(figures.seconds(workload.timeout))),
        ("Seed", Cell(str(workload.seed))),
        (
            "Cold start",
            Cell("" if report.cold_start is None else figures.seconds(report.cold_start)),
        ),
        ("Largest request", Cell(payload)),
        ("Client", Cell(client.machine, f"{figures.count(client.cores)} cores")),
        ("Made", Cell(figures.when(report.created_at), f"Pilotage {report.pilotage}")),
    ]
    return facts_table("setup", "Set-up", facts)


def _warm_up(report: Report) -> str:
    warm_up = report.warm_up
    if warm_up is None:
        return "none"
    text = f"{figures.count(warm_up.requests)} requests in {figures.seconds(warm_up.seconds)}"
    medians = (("TTFT", warm_up.ttft_p50), ("E2E", warm_up.e2e_p50))
    known = ", ".join(f"{name} {figures.seconds(value)}" for name, value in medians if value)
    return f"{text}, left out of all figures" + (f" (medians: {known})" if known else "")


def _repeated(report: Report) -> str:
    repeated = report.workload.repeated
    return f"{figures.count(repeated)} used again" if repeated else ""
