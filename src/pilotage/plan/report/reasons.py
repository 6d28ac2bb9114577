"""Why what does not fit does not: one line a reason, however many options share it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pilotage.plan.option import Obstacle, Option
from pilotage.plan.report.table import Cell, Table
from pilotage.plan.report.wording import label, strategy_name
from pilotage.plan.result import Plan

_NAMED = 3
_LIMITS = {
    "ttft_p99": "TTFT promise",
    "tpot_p99": "TPOT promise",
    "e2e_p99": "E2E promise",
    "usd_per_month": "budget",
    "usd_per_request": "budget a request",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A limit that options break.

    Attributes:
        limit: Which.
        options: Those that it rules out, the nearest first.
        obstacle: What stands in the way of the nearest.
    """

    limit: str
    options: tuple[Option, ...]
    obstacle: Obstacle


def reasons(plan: Plan) -> tuple[Reason, ...]:
    """The infeasible options by what they break, the reason with the nearest option first."""
    groups: dict[str, list[tuple[Option, Obstacle]]] = defaultdict(list)
    for option in plan.infeasible:
        for obstacle in option.obstacles:
            groups[obstacle.limit].append((option, obstacle))
    found = []
    for limit, members in groups.items():
        members.sort(key=lambda member: member[1].shortfall)
        options = tuple(option for option, _ in members)
        found.append(Reason(limit, options, members[0][1]))
    return tuple(sorted(found, key=lambda one: one.obstacle.shortfall))


def reasons_table(plan: Plan) -> Table | None:
    """A row a reason: what is broken, by how many and which, and the nearest in figures."""
    found = reasons(plan)
    if not found:
        return None
    rows = tuple(
        (
            Cell(limit_name(one.limit)),
            Cell(f"{len(one.options):,}"),
            Cell(_message(one), _advice(one.obstacle)),
        )
        for one in found
    )
    head = ("limit", "options", "nearest")
    note = "An option counts under every limit that it breaks."
    return Table("reasons", "What does not do, and why", head, rows, frozenset({0, 2}), note)


def _advice(obstacle: Obstacle) -> str:
    return f"\N{RIGHTWARDS ARROW} {capitalised(obstacle.relax)}" if obstacle.relax else ""


def capitalised(sentence: str) -> str:
    """A sentence with a capital in front, its other letters as they are."""
    return sentence[:1].upper() + sentence[1:]


def limit_name(limit: str) -> str:
    """A limit for people: "TTFT promise" for ``ttft_p99``."""
    return _LIMITS.get(limit, limit)


def _message(reason: Reason) -> str:
    """The nearest by name with its obstacle; then a few of the others."""
    first, *others = dict.fromkeys(_name(option) for option in reason.options)
    text = f"{first}: {reason.obstacle.message}"
    if others:
        left = len(others) - _NAMED
        more = f" and {left} more" if left > 0 else ""
        text += f"; also {', '.join(others[:_NAMED])}{more}"
    return text


def _name(option: Option) -> str:
    one = option.configuration
    return label(one) if one.instance_type else strategy_name(one.strategy)
