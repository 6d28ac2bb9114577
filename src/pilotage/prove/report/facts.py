"""What a report says of the server, as tables: the same facts for the terminal, Markdown and HTML.

What surrounds the measurement (validity, set-up, cost, plan) is in
:mod:`pilotage.prove.report.background`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.prove.report import figures
from pilotage.prove.report.table import Cell, Table, Tone, facts_table
from pilotage.prove.result import Distribution, Estimate, Objective, Report

METRICS = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "itl": "Inter-token latency",
    "e2e": "End to end",
}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

_OUTCOMES = {
    "complete": "Answered whole",
    "rejected": "Rejected: no room",
    "refused": "Refused",
    "server_error": "Server error",
    "redirected": "Redirected",
    "error_event": "Error in the answer",
    "broken": "Connection broke",
    "garbage": "Answer unreadable",
    "unreachable": "No connection",
    "timeout": "No answer in time",
    "cancelled": "Cut off by the stop",
}
_FINDINGS: dict[str, tuple[str, Tone]] = {
    "met": ("met", "good"),
    "missed": ("missed", "bad"),
    "not_enough_evidence": ("not enough evidence", "unsure"),
}


@dataclass(frozen=True)
class Headline:
    """The verdict in the fewest words.

    Attributes:
        symbol: Says it without colour.
        title: Says it in words.
        sentence: Says what it rests on.
        tone: For the colour.
    """

    symbol: str
    title: str
    sentence: str
    tone: Tone


def headline(report: Report) -> Headline:
    """The verdict to begin every view with."""
    symbol, title, tone = _HEADLINES[report.verdict.finding]
    return Headline(symbol, title, report.verdict.sentence, tone)


_HEADLINES: dict[str, tuple[str, str, Tone]] = {
    "met": ("✓", "The SLO is met", "good"),
    "missed": ("✗", "The SLO is missed", "bad"),
    "not_enough_evidence": ("?", "Not enough evidence", "unsure"),
    "invalid": ("⚠", "Invalid: the client was the bottleneck", "unsure"),
    "no_slo": ("•", "Measured, without an SLO to judge by", ""),
}


def outcome_name(outcome: str) -> str:
    """How a request ended, in words."""
    return _OUTCOMES.get(outcome, outcome)


def finding_cell(finding: str) -> Cell:
    """A finding with its tone."""
    text, tone = _FINDINGS.get(finding, (finding.replace("_", " "), "unsure"))
    return Cell(text, tone=tone)


def objective_name(objective: Objective) -> str:
    """A promise by its metric and quantile: "TTFT p99"."""
    return f"{objective.metric.upper()} p{round(objective.quantile * 100, 4):g}"


def estimate_cell(value: Estimate | None, tone: Tone = "") -> Cell:
    """A percentile with its interval below."""
    detail = figures.interval(value.low, value.high) if value else ""
    return Cell(figures.estimate(value), detail, tone)


def failed_share(report: Report) -> float | None:
    """The share of measured requests that were not answered whole; None if there were none."""
    requests = report.measures.requests
    return 1 - report.measures.outcomes.get("complete", 0) / requests if requests else None


def slo_table(report: Report) -> Table:
    """Each promise, what was measured, and whether it is kept."""
    rows = []
    for promise in report.verdict.objectives:
        finding = finding_cell(promise.finding)
        if promise.more_requests is not None:
            more = f"{figures.count(promise.more_requests)} more requests would tell"
            finding = Cell(finding.text, more, finding.tone)
        rows.append(
            (
                Cell(objective_name(promise)),
                Cell(f"≤ {figures.promise(promise.target)}"),
                estimate_cell(promise.measured),
                Cell(f"{figures.count(promise.late)} of {figures.count(promise.total)}"),
                finding,
            )
        )
    note = f"Findings hold with {figures.confidence(report.verdict.confidence)} confidence."
    head = ("Promise", "Target", "Measured", "Late or failed", "Finding")
    return Table("slo", "Promises", head, tuple(rows), note, frozenset({0, 4}))


def latency_table(report: Report) -> Table:
    """Percentiles of every latency with their confidence intervals."""
    rows = []
    for metric, name in METRICS.items():
        found: Distribution | None = getattr(report.measures, metric)
        if found is not None:
            rows.append(_latency_row(f"{name}", metric.upper(), found))
    if report.measures.queue is not None:
        rows.append(_latency_row("Queue, as the server says", "", report.measures.queue))
    note = (
        "Counted from the time a request was due, with "
        f"{figures.confidence(report.verdict.confidence)} confidence intervals; failed requests "
        "count as never answered."
    )
    head = ("Latency", "Mean", *QUANTILES, "Max", "Values")
    return Table("latency", "Latency", head, tuple(rows), note)


def _latency_row(name: str, short: str, found: Distribution) -> tuple[Cell, ...]:
    estimates: list[Estimate] = [getattr(found, name) for name in QUANTILES]
    failed = f"{figures.count(found.failed)} failed" if found.failed else ""
    return (
        Cell(name, short),
        Cell(figures.seconds(found.mean)),
        *(estimate_cell(value) for value in estimates),
        Cell(figures.seconds(found.max)),
        Cell(figures.count(found.count), failed),
    )


def summary_table(report: Report) -> Table:
    """Throughput, goodput and load in a few lines."""
    measures = report.measures
    good = ""
    if measures.good_share is not None:
        good = f"{figures.share(measures.good_share)} of requests kept every promise"
    complete = measures.outcomes.get("complete", 0)
    facts = [
        (
            "Requests",
            Cell(
                f"{figures.count(measures.requests)} in {figures.seconds(measures.seconds)}",
                f"{figures.rate(measures.offered_rate)} offered",
            ),
        ),
        (
            "Answered whole",
            Cell(figures.rate(measures.completed_rate), f"{figures.count(complete)} requests"),
        ),
        ("Goodput", Cell(figures.rate(measures.goodput), good)),
        ("Failed", failed_cell(report)),
        ("Output tokens", Cell(figures.rate(measures.output_tokens_rate))),
        ("Prompt tokens", Cell(figures.rate(measures.prompt_tokens_rate))),
        (
            "In flight",
            Cell(
                f"{figures.number(measures.mean_in_flight)} on average",
                f"none {figures.share(measures.idle_share)} of the time",
            ),
        ),
    ]
    if measures.goodput is None:
        facts = [fact for fact in facts if fact[0] != "Goodput"]
    return facts_table("summary", "Throughput", facts)


def failed_cell(report: Report) -> Cell:
    """How many requests failed, and their share."""
    measures = report.measures
    failed = measures.requests - measures.outcomes.get("complete", 0)
    share = failed_share(report)
    if share is None:
        return Cell(figures.NOTHING)
    return Cell(figures.share(share), f"{figures.count(failed)} requests" if failed else "")


def failures_table(report: Report) -> Table:
    """Kinds of failure with what was said, the most frequent first."""
    rows = tuple(
        (
            Cell(outcome_name(failure.outcome)),
            Cell(figures.NOTHING if failure.status is None else str(failure.status)),
            Cell(figures.count(failure.count)),
            Cell(failure.message, verbatim=True),
            Cell(f"request {failure.first_index}", f"due at {figures.seconds(failure.first_s)}"),
        )
        for failure in report.measures.failures
    )
    head = ("What happened", "Status", "Requests", "What was said", "First")
    note = "Look a request up by its index in requests.csv."
    return Table("failures", "Failures", head, rows, note, frozenset({0, 3}))


def tokens_table(report: Report) -> Table:
    """Tokens as the server counted them and as the tokenizer does."""
    tokens = report.measures.tokens
    pairs = (
        ("Prompt", tokens.prompt_server, tokens.prompt_tokenizer),
        ("Completion", tokens.completion_server, tokens.completion_tokenizer),
    )
    rows = tuple(
        (Cell(name), Cell(figures.count(server)), Cell(figures.count(own)), _apart(server, own))
        for name, server, own in pairs
        if server is not None or own is not None
    )
    notes = []
    if tokens.tokenizer:
        notes.append(f"Tokenizer: {tokens.tokenizer}.")
    if tokens.completion_chunks:
        notes.append(f"Content came in {figures.count(tokens.completion_chunks)} pieces.")
    if tokens.without_usage:
        notes.append(f"{figures.count(tokens.without_usage)} answers came without a count.")
    if tokens.short:
        notes.append(f"{figures.count(tokens.short)} answers ended before the length asked for.")
    head = ("Tokens", "The server's count", "The tokenizer's", "Difference")
    return Table("tokens", "Tokens", head, rows, " ".join(notes))


def _apart(server: int | None, own: int | None) -> Cell:
    if server is None or not own:
        return Cell(figures.NOTHING)
    return Cell("none" if server == own else figures.change((server - own) / own))
