"""Sums that show their terms: every figure of a plan can say where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a sum.

    Attributes:
        name: What it is: "weights", "KV cache".
        value: In `unit`.
        unit: "B", "s", "FLOP", "USD/month".
        formula: The formula with its numbers put in, as one would write it on paper.
        source: Where the formula or the figure comes from, with its date for prices.
    """

    name: str
    value: float
    unit: str
    formula: str
    source: str


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms of one unit and what they come to."""

    name: str
    terms: tuple[Term, ...]

    @property
    def value(self) -> float:
        """Their sum, in their unit."""
        return sum(term.value for term in self.terms)
