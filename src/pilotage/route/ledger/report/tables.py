"""A report in words and tables, the same on the screen and on the page."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.route.ledger.report.figures import count, share, usd
from pilotage.route.ledger.report.result import Line, Report, Savings
from pilotage.units import printable


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first column names the row, the others are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """The few figures to see first: name, value and a word on it."""
    return [
        ("Spent", usd(report.cost), f"{count(report.attempts)} attempts"),
        ("Requests", count(report.requests), f"{count(report.escalated)} escalated"),
        ("Escalation rate", share(report.escalation_rate), "requests with a draft thrown away"),
        (
            "Drafts",
            usd(report.drafts_cost),
            f"{usd(report.cancelled_drafts_cost)} of it broken off",
        ),
        ("Judging", usd(report.overhead_cost), "classifiers, judges, second samples"),
        ("Measuring", usd(report.measuring_cost), "shadows and audits"),
        _saved(report.savings),
    ]


def notes(report: Report) -> list[str]:
    """Sentences that belong to the figures."""
    found = []
    if report.savings is not None:
        found.append(_savings_sentence(report.savings))
    if report.savings_note:
        found.append(report.savings_note)
    if report.folded_days:
        found.append(
            f"Of {report.folded_days} days some requests are kept as sums only: they count as "
            "whole days, and are not in the savings."
        )
    return found


def tables(report: Report) -> list[Table]:
    """Spend by tier, key, role and day."""
    heads = ("attempts", "answered", "failed", "broken off", "prompt", "completion", "cost")
    named = (
        ("By tier", "tier", report.by_tier),
        ("By key", "key", report.by_key),
        ("By role", "role", report.by_role),
    )
    found = [
        Table(title, (what, *heads), tuple(_row(line) for line in lines))
        for title, what, lines in named
    ]
    days = tuple(
        (
            one.day.isoformat(),
            count(one.requests),
            count(one.escalated),
            *(usd(one.by_tier.get(line.name)) for line in report.by_tier),
            usd(one.cost),
        )
        for one in report.by_day
    )
    tiers = tuple(printable(line.name) for line in report.by_tier)
    found.append(Table("By day", ("day", "requests", "escalated", *tiers, "cost"), days))
    return found


def _row(line: Line) -> tuple[str, ...]:
    numbers = (
        line.attempts,
        line.answered,
        line.errors,
        line.cancelled,
        line.prompt_tokens,
        line.completion_tokens,
    )
    return (printable(line.name), *map(count, numbers), usd(line.cost))


def _saved(savings: Savings | None) -> tuple[str, str, str]:
    if savings is None:
        return ("Saved", "not known", "no shadow sample")
    low, high = savings.share_low, savings.share_high
    bounds = "no interval" if low is None else f"{share(low)} to {share(high)} (95 %)"
    return ("Saved", share(savings.share), bounds)


def _savings_sentence(one: Savings) -> str:
    big = ", ".join(map(printable, one.tiers))
    bounds = (
        ""
        if one.saved_low is None
        else f" (95 % interval {usd(one.saved_low)} to {usd(one.saved_high)})"
    )
    verb = "saved" if one.saved >= 0 else "lost"
    if one.saved < 0 and one.saved_low is not None and one.saved_high is not None:
        bounds = f" (95 % interval {usd(-one.saved_high)} to {usd(-one.saved_low)})"
    return (
        f"Against {big} alone, routing {verb} {usd(abs(one.saved))}{bounds} on "
        f"{count(one.requests)} answered requests: {usd(one.routed_cost)} instead of "
        f"{usd(one.big_cost)}, measured on {count(one.sample)} shadowed requests and on those "
        "that it answered itself. The cost of measuring is not deducted."
    )
