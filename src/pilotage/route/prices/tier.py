"""The price of a tier."""

from __future__ import annotations

from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec


def tier_price(tier: TierSpec, *, region: str | None = None) -> TierPrice:
    """What a tier's tokens cost."""
    raise NotImplementedError
