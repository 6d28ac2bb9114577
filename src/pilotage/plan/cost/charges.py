"""Charges of a month in exact decimals; floats only where a plan shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pilotage.catalog.prices import Price
from pilotage.plan.terms import Sum, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of a month's bill.

    Attributes:
        name: What it is: "instances", "load balancer".
        usd: US dollars a month, exact.
        formula: With the numbers put in.
        source: Of the price, with its day.
        capacity: Whether it pays for capacity, which can stand idle, and not for use.
    """

    name: str
    usd: Decimal
    formula: str
    source: str
    capacity: bool = False


def exact(value: float) -> Decimal:
    """The decimal that a float was written as: 0.1 is 0.1."""
    return Decimal(str(value))


def charge(
    name: str, price: Price, *quantities: tuple[float, str], capacity: bool = False
) -> Charge:
    """A price times quantities, each with what it counts: ``(730, "h")``."""
    usd = price.amount
    for quantity, _ in quantities:
        usd *= exact(quantity)
    factors = [f"{_shown(quantity)} {unit}".strip() for quantity, unit in quantities]
    formula = " x ".join([*factors, f"{plain(price.amount)} {price.unit}"])
    return Charge(name=name, usd=usd, formula=formula, source=price.cited, capacity=capacity)


def total(charges: Iterable[Charge]) -> Decimal:
    """What they come to."""
    return sum((one.usd for one in charges), Decimal(0))


def as_sum(charges: Iterable[Charge]) -> Sum:
    """The charges as the terms of a plan."""
    return Sum(
        name="cost a month",
        terms=tuple(
            Term(
                name=one.name,
                value=float(one.usd),
                unit="USD/month",
                formula=one.formula,
                source=one.source,
            )
            for one in charges
        ),
    )


def plain(amount: Decimal) -> str:
    """An amount without an exponent or trailing zeros: 0.000000200 is "0.0000002"."""
    return format(amount.normalize(), "f")


def _shown(quantity: float) -> str:
    """Six significant digits, or all of a whole number, without an exponent."""
    if quantity == int(quantity) and -(10**15) < quantity < 10**15:
        return f"{int(quantity):,}"
    text = f"{float(quantity):.6g}"
    return f"{float(text):,.15f}".rstrip("0").rstrip(".") if "e" in text else text
