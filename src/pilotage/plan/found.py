"""What a search came to know, for those who go on with it."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.plan.candidates import Machine
from pilotage.plan.offers import Offers
from pilotage.plan.option import Option
from pilotage.plan.result import Plan
from pilotage.plan.sizing import Rated, Sized, Sizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An option and what it was made of; of a provider's, nothing."""

    option: Option
    sized: Sized | None = None
    machine: Machine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that a search came to know, for those who go on with it.

    Attributes:
        plan: The answer.
        judged: Every option with its simulation.
        rated: Every layout that fits, with its estimate.
        chosen: What the plan chose.
        offers: Of the question.
        sizer: With the step tables that were made.
    """

    plan: Plan
    judged: tuple[Judged, ...]
    rated: tuple[Rated, ...]
    chosen: Judged | None
    offers: Offers
    sizer: Sizer
