"""Bedrock's prices a token, by the price book."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pilotage.catalog.prices import (
    BUILT_IN_REGION,
    PriceBook,
    UnknownPriceError,
    bedrock_models,
    load_price_book,
)
from pilotage.errors import UsageError
from pilotage.route.backends.aws_region import aws_region
from pilotage.route.prices.bedrock_ids import arn_region, price_ids
from pilotage.route.prices.token_prices import token_price
from pilotage.route.pricing import TierPrice


def bedrock_price(model: str, *, region: str | None, home: Path | None) -> TierPrice | None:
    """What a model's tokens cost on demand in a region; None if nobody says.

    Args:
        model: A model id, an inference profile or an ARN, whose region counts first.
        region: That of the AWS environment if None.
        home: See `pilotage.route.prices.tier_price`.

    Raises:
        UsageError: The region is malformed.
    """
    where = arn_region(model) or region or aws_region() or BUILT_IN_REGION
    try:
        book = load_price_book(where, home=home)
    except UnknownPriceError:
        return None
    for name in price_ids(model, bedrock_models()):
        if (found := _of(book, name)) is not None:
            return found
    return None


def _of(book: PriceBook, name: str) -> TierPrice | None:
    try:
        first = book.find(f"bedrock/{name}:input")
    except UsageError:
        return None  # no price can have such a name
    if first is None:
        return None

    def amount(kind: str) -> Decimal | None:
        price = book.find(f"bedrock/{name}:{kind}")
        return None if price is None else price.amount

    return token_price(
        source=f"{first.cited}: {name}",
        input=first.amount,
        output=amount("output"),
        cache_read=amount("cache-read"),
        cache_write=amount("cache-write"),
        image=amount("image"),
    )
