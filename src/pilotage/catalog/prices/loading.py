"""The book a plan uses: the user's values, then the refreshed book, then the built-in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pilotage.catalog.prices.book import BUILT_IN_REGION, PriceBook
from pilotage.catalog.prices.ec2 import on_demand_prices
from pilotage.catalog.prices.price import Price, UnknownPriceError
from pilotage.catalog.prices.services import service_prices
from pilotage.catalog.prices.stored import checked_region, read_book
from pilotage.catalog.prices.tokens import token_price
from pilotage.catalog.prices.user_prices import FILE_NAME, parse_prices, read_prices


def load_price_book(
    region: str = BUILT_IN_REGION, *, home: Path | None = None, given: Iterable[str] = ()
) -> PriceBook:
    """The price book of a region.

    Args:
        region: AWS's name of it.
        home: The Pilotage home, with ``prices.yaml`` and ``prices/REGION.json``; None reads
            neither.
        given: ``NAME=AMOUNT`` each, stronger than all else.

    Raises:
        UsageError: The region or a given price is malformed.
        SpecError: A file is.
        UnknownPriceError: Nothing at all is known of this region.
    """
    checked_region(region)
    layers: list[Callable[[str], Price | None]] = []
    offered = None
    if flags := parse_prices(given, region):
        layers.append(flags.get)
    if home is not None:
        if written := read_prices(home / FILE_NAME, region):
            layers.append(written.get)
        if (stored := read_book(home, region)) is not None:
            layers.append(stored.prices.get)
            offered = stored.offered
    if region == BUILT_IN_REGION:
        layers += [on_demand_prices().get, service_prices().get, token_price]
    if not layers:
        raise UnknownPriceError(
            f"no prices are known for the region {region}; those of {BUILT_IN_REGION} are built in",
            hint=f"Take them from AWS with: pilotage catalog refresh --region {region}; "
            "or pass each as --price NAME=AMOUNT",
        )
    return PriceBook(region, *layers, offered=offered)
