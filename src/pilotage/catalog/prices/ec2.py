"""EC2's built-in prices: the on-demand column of the table of instance types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from types import MappingProxyType

from pilotage.catalog.instances import PRICE_REGION, PRICES_ON, SOURCE, load_instances
from pilotage.catalog.prices.price import HOUR, Price


@cache
def on_demand_prices() -> Mapping[str, Price]:
    """On-demand prices an hour by instance type; types whose price is not known are left out."""
    day = date.fromisoformat(PRICES_ON)
    return MappingProxyType(
        {
            name: Price(
                # The table has six decimals: the float's shortest text is the exact amount.
                amount=Decimal(str(instance.usd_per_hour)),
                unit=HOUR,
                source=SOURCE,
                date=day,
                region=PRICE_REGION,
            )
            for name, instance in load_instances().items()
            if instance.usd_per_hour
        }
    )
