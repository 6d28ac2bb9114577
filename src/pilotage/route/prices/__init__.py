"""What tiers cost: by the spec, by the price book, or not at all."""

from pilotage.route.prices.hourly import amortised
from pilotage.route.prices.tier import tier_price

__all__ = ["amortised", "tier_price"]
