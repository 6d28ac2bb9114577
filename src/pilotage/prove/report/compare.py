"""Several reports side by side: which target is faster, cheaper, and whether it is chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from pilotage.errors import UsageError
from pilotage.prove.report.facts import failed_share, headline
from pilotage.prove.result import Distribution, Estimate, Report

COMPARISON_SCHEMA: Final = "pilotage.prove.comparison/1"

_LARGEST_REQUEST = "Largest request"

Difference = Literal["differs", "cannot_tell"]
Better = Literal["lower", "higher"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One target's value in a line.

    Attributes:
        value: The value; None if it was not measured.
        low: Lower end of its interval.
        high: Upper end.
        ratio: To the first target's value; None for the first, and where either is unknown or 0.
        difference: Whether it differs from the first target's by more than chance: ``differs``
            when the intervals do not overlap, ``cannot_tell`` when they do; None without intervals
            and for the first.
        at_least: Whether the value is only a bound from below.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    difference: Difference | None = None
    at_least: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of all targets.

    Attributes:
        name: Which, such as "TTFT p99".
        group: What it belongs to: "latency", "throughput", "cost" or "limits".
        unit: "s", "/s", "share", "USD" or "bytes".
        better: Which way is better.
        entries: One a target, in the targets' order.
    """

    name: str
    group: Literal["latency", "throughput", "cost", "limits"]
    unit: str
    better: Better
    entries: tuple[Entry, ...]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the targets.

    Attributes:
        name: Told apart from the others.
        url: Where requests went.
        model: The model's name.
        created_at: When it was tested.
        finding: Its verdict.
        verdict: Its verdict in words.
        valid: Whether its numbers speak of the server.
        requests: How many were measured.
    """

    name: str
    url: str
    model: str
    created_at: str
    finding: str
    verdict: str
    valid: bool
    requests: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Targets side by side; every ratio is to the first.

    Attributes:
        sides: The targets.
        lines: The measures that at least one of them has.
        warnings: Why they cannot be compared fairly, each a sentence.
        confidence: Of the intervals.
    """

    sides: tuple[Side, ...]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    confidence: float
    schema: Literal["pilotage.prove.comparison/1"] = COMPARISON_SCHEMA


def compare(reports: Sequence[Report]) -> Comparison:
    """Put ``reports`` side by side, the first as the one to measure the others by.

    Intervals that do not overlap show a difference; that is stricter than a test of the difference
    at the same confidence, so ``cannot_tell`` is no proof that there is none.

    Raises:
        UsageError: There are fewer than two.
    """
    if len(reports) < 2:
        raise UsageError(
            f"a comparison needs at least two reports, got {len(reports)}",
            where="--compare",
            hint="Give two or more report.json files.",
        )
    names = side_names(reports)
    lines = (*_latency_lines(reports), *_plain_lines(reports))
    return Comparison(
        sides=tuple(_side(report, name) for report, name in zip(reports, names, strict=True)),
        lines=tuple(line for line in lines if any(e.value is not None for e in line.entries)),
        warnings=tuple(_warnings(reports, names)),
        confidence=min(report.verdict.confidence for report in reports),
    )


def side_names(reports: Sequence[Report]) -> tuple[str, ...]:
    """A name for each report, told apart by model, then by number, where names are the same."""
    names = [report.name for report in reports]
    if len({report.target.model for report in reports}) == len(reports) > len(set(names)):
        names = [f"{report.name}, {report.target.model}" for report in reports]
    often, seen, found = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        found.append(f"{name} #{seen[name]}" if often[name] > 1 else name)
    return tuple(found)


def _side(report: Report, name: str) -> Side:
    return Side(
        name=name,
        url=report.target.url,
        model=report.target.model,
        created_at=report.created_at,
        finding=report.verdict.finding,
        verdict=headline(report).title,
        valid=report.validity.valid,
        requests=report.measures.requests,
    )


def _latency_lines(reports: Sequence[Report]) -> list[Line]:
    lines = []
    for metric in ("ttft", "tpot", "e2e"):
        for quantile in ("p50", "p90", "p99"):
            found: list[Distribution | None] = [getattr(r.measures, metric) for r in reports]
            estimates: list[Estimate | None] = [
                None if one is None else getattr(one, quantile) for one in found
            ]
            lines.append(
                Line(
                    name=f"{metric.upper()} {quantile}",
                    group="latency",
                    unit="s",
                    better="lower",
                    entries=tuple(_estimated(one, estimates[0]) for one in estimates),
                )
            )
    return lines


def _estimated(one: Estimate | None, first: Estimate | None) -> Entry:
    if one is None:
        return Entry()
    entry = Entry(value=one.value, low=one.low, high=one.high)
    if one is first or first is None:
        return entry
    return msgspec.structs.replace(
        entry, ratio=_ratio(one.value, first.value), difference=_difference(one, first)
    )


def _difference(one: Estimate, other: Estimate) -> Difference:
    return "differs" if _below(one, other) or _below(other, one) else "cannot_tell"


def _below(one: Estimate, other: Estimate) -> bool:
    """Whether the whole interval of ``one`` lies below that of ``other``; open ends reach on."""
    return one.high is not None and other.low is not None and one.high < other.low


def _ratio(value: float | None, first: float | None) -> float | None:
    return None if value is None or not first else value / first


class _Measure(NamedTuple):
    """A measure without an interval, and how it is read from a report."""

    name: str
    group: Literal["throughput", "cost", "limits"]
    unit: str
    better: Better
    read: Callable[[Report], float | None]


def _cost(field: str) -> Callable[[Report], float | None]:
    return lambda report: getattr(report.costs, field, None)


_MEASURES = (
    _Measure("Requests offered", "throughput", "/s", "higher", lambda r: r.measures.offered_rate),
    _Measure(
        "Requests answered", "throughput", "/s", "higher", lambda r: r.measures.completed_rate
    ),
    _Measure("Goodput", "throughput", "/s", "higher", lambda r: r.measures.goodput),
    _Measure(
        "Output tokens", "throughput", "/s", "higher", lambda r: r.measures.output_tokens_rate
    ),
    _Measure("Failed", "throughput", "share", "lower", failed_share),
    _Measure(
        "Highest rate that holds",
        "throughput",
        "/s",
        "higher",
        lambda r: r.capacity.rate if r.capacity else None,
    ),
    _Measure("A million requests", "cost", "USD", "lower", _cost("per_million_requests")),
    _Measure("A million tokens", "cost", "USD", "lower", _cost("per_million_tokens")),
    _Measure("A million output tokens", "cost", "USD", "lower", _cost("per_million_output_tokens")),
    _Measure("Paid for nothing", "cost", "share", "lower", _cost("idle_share")),
    _Measure("Paid for nothing a month", "cost", "USD", "lower", _cost("idle_usd_per_month")),
    _Measure("Cold start", "limits", "s", "lower", lambda r: r.cold_start),
    _Measure(_LARGEST_REQUEST, "limits", "bytes", "higher", lambda r: r.max_payload),
)


def _plain_lines(reports: Sequence[Report]) -> list[Line]:
    lines = []
    for measure in _MEASURES:
        values = [measure.read(report) for report in reports]
        is_bound = [measure.name == _LARGEST_REQUEST and r.max_payload_is_bound for r in reports]
        entries = tuple(
            Entry(value=value, ratio=_ratio(value, values[0]) if place else None, at_least=bound)
            for place, (value, bound) in enumerate(zip(values, is_bound, strict=True))
        )
        name, group, unit, better, _ = measure
        lines.append(Line(name=name, group=group, unit=unit, better=better, entries=entries))
    return lines


_MUST_AGREE: tuple[tuple[str, Callable[[Report], object]], ...] = (
    ("arrivals", lambda r: r.workload.arrivals),
    ("payloads", lambda r: r.workload.payloads),
    ("seeds", lambda r: r.workload.seed),
    ("promises", lambda r: ", ".join(f"{k} {v:g} s" for k, v in sorted(r.slo.items())) or "none"),
    ("loops", lambda r: "open" if r.workload.open_loop else "closed"),
    ("ways of answering", lambda r: "streamed" if r.target.stream else "whole"),
    ("interfaces", lambda r: r.target.api),
    ("time limits a request", lambda r: f"{r.workload.timeout:g} s"),
    ("clients", lambda r: f"{r.client.machine}, {r.client.cores} cores"),
    (
        "places of the server",
        lambda r: "the client's machine" if r.client.same_machine else "elsewhere",
    ),
)


def _warnings(reports: Sequence[Report], names: Sequence[str]) -> list[str]:
    found = []
    for report, name in zip(reports, names, strict=True):
        if not report.validity.valid:
            found.append(f"{name} is invalid: its numbers do not speak of the server.")
        if report.interrupted:
            found.append(f"{name} was ended early: {report.interrupted}.")
    for what, read in _MUST_AGREE:
        values = [read(report) for report in reports]
        for name, value in zip(names[1:], values[1:], strict=True):
            if value != values[0]:
                found.append(
                    f"{name} and {names[0]} were tested with different {what}: {value}, "
                    f"not {values[0]}."
                )
    return found
