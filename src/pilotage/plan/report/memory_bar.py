"""The parts of an accelerator's memory, for a bar: in the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.plan.option import Option

FREE = "free"
"""Name of the part that nothing takes."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the bar.

    Attributes:
        name: The term's, "free" for what is left.
        bytes: How much.
        share: Of the whole bar.
    """

    name: str
    bytes: float
    share: float


def memory_parts(option: Option) -> tuple[Part, ...]:
    """The terms in their order, then what is free.

    The bar is as long as the memory, or as the terms together where those are more.
    """
    estimate = option.estimate
    if estimate is None or estimate.memory is None:
        return ()
    used = estimate.memory.value
    whole = max(used, estimate.memory_bytes or 0)
    if whole <= 0:
        return ()
    parts = [
        Part(term.name, term.value, term.value / whole)
        for term in estimate.memory.terms
        if term.value > 0
    ]
    if whole > used:
        parts.append(Part(FREE, whole - used, (whole - used) / whole))
    return tuple(parts)
