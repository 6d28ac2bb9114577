"""Built-in prices of services: load balancers, storage, traffic, Lambda.

The table is ``data/service_prices.csv``. They are AWS's public list prices of us-east-1 at their
first tier, so that a large user pays less and nobody pays more; free tiers are not taken off.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from pilotage.catalog.prices.price import Price, unit_of

SERVICES_SOURCE: Final = "AWS list price as known in 2025; refresh to confirm"
SERVICES_ON: Final = date(2025, 12, 31)


@cache
def service_prices() -> Mapping[str, Price]:
    """List prices by name, see `pilotage.catalog.prices.price`."""
    text = (files("pilotage.catalog") / "data" / "service_prices.csv").read_text("utf-8")
    return MappingProxyType(
        {
            row["name"]: Price(
                amount=Decimal(row["amount"]),
                unit=unit_of(row["name"]),
                source=SERVICES_SOURCE,
                date=SERVICES_ON,
                region="us-east-1",
            )
            for row in csv.DictReader(text.splitlines())
        }
    )
