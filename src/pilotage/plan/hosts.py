"""The instance types that hold a layout, by what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.plan.candidates import Layout, Machine, machines
from pilotage.plan.offers import Offers


def hosts(offers: Offers, layout: Layout) -> list[Machine]:
    """Machines that hold a copy, by their price an hour a copy."""
    able = [
        one
        for one in machines()
        if one.accelerator is layout.accelerator
        and one.count >= layout.accelerators
        and offers.strategies(one)
    ]

    def each(machine: Machine) -> tuple[bool, float]:
        unknown, hourly = offers.rank(machine)
        return unknown, hourly / (machine.count // layout.accelerators)

    return sorted(able, key=each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What so many copies cost on a machine; `unknown` when its price is a guess for the order."""

    unknown: bool
    usd_per_hour: float
    machine: Machine


def cheapest(offers: Offers, layout: Layout, copies: int) -> list[Row]:
    """A row each machine that holds a copy, the cheapest first, guesses last."""
    rows = []
    for machine in hosts(offers, layout):
        unknown, hourly = offers.rank(machine)
        cost = hourly * offers.instances(layout, machine, copies)
        rows.append(Row(unknown=unknown, usd_per_hour=cost, machine=machine))
    return sorted(rows, key=lambda row: (row.unknown, row.usd_per_hour))
