"""What is expected of each tier before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How good each tier's answer to a request is expected to be.

    Attributes:
        quality: Expected quality by tier, from 0 (useless) to 1 (as good as can be). Every tier of
            the router is in it.
        note: Why, in a few words for the ledger: ``rule 2: hard``, ``classifier``. Nothing of the
            prompt is in it.
        cost: US dollars that the estimate itself cost; only a model that classifies costs.
    """

    quality: Mapping[str, float]
    note: str
    cost: Decimal = Decimal(0)

    def start(self, enough: float = 0.5) -> str | None:
        """The first tier, in the mapping's order, that is expected to reach ``enough``."""
        return next((tier for tier, value in self.quality.items() if value >= enough), None)


def starting_at(
    tiers: tuple[str, ...], start: str, note: str, cost: Decimal = Decimal(0)
) -> Estimate:
    """The estimate that says no more than "begin there": 1 from that tier on, 0 below it.

    Args:
        tiers: All tiers, from the cheapest to the best.
        start: One of them.
        note: As in `Estimate`.
        cost: As in `Estimate`.
    """
    first = tiers.index(start)
    quality = {tier: float(index >= first) for index, tier in enumerate(tiers)}
    return Estimate(quality=quality, note=note, cost=cost)
