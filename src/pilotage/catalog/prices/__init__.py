"""Prices: every one has an amount, a source, a day and a region; an unknown one is an error."""

from pilotage.catalog.prices.bedrock import bedrock_id
from pilotage.catalog.prices.book import BUILT_IN_REGION, PriceBook, PriceRange, TokenPrices
from pilotage.catalog.prices.loading import load_price_book
from pilotage.catalog.prices.price import (
    MARKETS,
    SERVICE_UNITS,
    Price,
    UnknownPriceError,
    parse_amount,
    unit_of,
)
from pilotage.catalog.prices.refresh import fetch_prices
from pilotage.catalog.prices.stored import (
    StoredBook,
    book_path,
    checked_region,
    read_book,
    write_book,
)
from pilotage.catalog.prices.tokens import BedrockModel, bedrock_models
from pilotage.catalog.prices.user_prices import parse_prices, read_prices

__all__ = [
    "BUILT_IN_REGION",
    "MARKETS",
    "SERVICE_UNITS",
    "BedrockModel",
    "Price",
    "PriceBook",
    "PriceRange",
    "StoredBook",
    "TokenPrices",
    "UnknownPriceError",
    "bedrock_id",
    "bedrock_models",
    "book_path",
    "checked_region",
    "fetch_prices",
    "load_price_book",
    "parse_amount",
    "parse_prices",
    "read_book",
    "read_prices",
    "unit_of",
    "write_book",
]
