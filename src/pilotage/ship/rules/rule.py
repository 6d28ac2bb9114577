"""What a rule is: a hard limit as data, and the check that holds a rendering against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from pilotage.ship.target import Rendered, Shipment

FACTS: Final = "shared/facts/aws.md"
"""Facts that were checked for this project; each section names what was measured."""

CHECKED_ON: Final = "2026-11-22"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that a rendering breaks.

    Attributes:
        rule: The rule's id.
        where: The field: "Service.HealthCheckGracePeriodSeconds".
        found: What stands there.
        limit: What the rule says.
        fix: What to do.
    """

    rule: str
    where: str
    found: str
    limit: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.limit} [{self.rule}]. {self.fix}"


class Finding(NamedTuple):
    """One place where a rule is broken: the field, what stands there, what to do."""

    where: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A hard limit.

    Attributes:
        id: Short and stable, such as "fargate-gpu".
        what: What goes wrong without it, a sentence.
        limit: What is allowed, in words.
        source: Who says so.
        date: When it was checked, ISO 8601.
        check: Finds what of a rendering breaks it.
    """

    id: str
    what: str
    limit: str
    source: str
    date: str
    check: Callable[[Rendered, Shipment], Iterable[Broken]]


Finder = Callable[[Rendered, Shipment], Iterator[Finding]]


def rule(
    name: str, *, what: str, limit: str, source: str = FACTS, date: str = CHECKED_ON
) -> Callable[[Finder], Rule]:
    """Makes a rule of a function that yields the places where it is broken."""

    def made(find: Finder) -> Rule:
        def check(rendered: Rendered, shipment: Shipment) -> Iterator[Broken]:
            for one in find(rendered, shipment):
                yield Broken(rule=name, where=one.where, found=one.found, limit=limit, fix=one.fix)

        return Rule(id=name, what=what, limit=limit, source=source, date=date, check=check)

    return made
