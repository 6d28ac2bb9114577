"""What tiers cost: from the spec, the price book, or not at all."""

from pilotage.route.prices.tier import tier_price

__all__ = ["tier_price"]
