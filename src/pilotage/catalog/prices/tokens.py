"""Bedrock's prices of tokens, from the offline data of ``genai-prices`` (MIT).

The data states no day a price and no region. It follows https://aws.amazon.com/bedrock/pricing/,
where the US regions come first: it is taken for us-east-1 only. Its day is the newest day, up to
today, on which the data knows a price to have changed: it is at least as new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

from pilotage.catalog.prices.price import Price, unit_of

_PROVIDER: Final = "aws"
_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "input": "input_mtok",
        "output": "output_mtok",
        "cache-read": "cache_read_mtok",
        "cache-write": "cache_write_mtok",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockModel:
    """A model that Bedrock sells by the token.

    Attributes:
        model_id: As genai-prices has it; "regional." and "global." stand before the ids of models
            that are reached through an inference profile.
        context: Longest prompt in tokens; None when not known.
        prices: US dollars a million tokens, by kind ("input", "output", …).
    """

    model_id: str
    context: int | None
    prices: Mapping[str, Decimal]


def token_price(name: str) -> Price | None:
    """The price of that name (``bedrock/ID:input`` …), None when it is not in the data."""
    if not name.startswith("bedrock/"):
        return None
    model_id, _, kind = name.removeprefix("bedrock/").rpartition(":")
    model = bedrock_models().get(model_id)
    if model is None or kind not in model.prices:
        return None
    return Price(
        amount=model.prices[kind],
        unit=unit_of(name),
        source=f"genai-prices {version('genai-prices')}",
        date=data_day(),
        region="us-east-1",
    )


@cache
def bedrock_models() -> Mapping[str, BedrockModel]:
    """Every Bedrock model of the data, by its id. Prices are those of today."""
    # A second of import and a large table: only plans that ask about Bedrock pay for it.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    now = datetime.now(UTC)
    provider = next(one for one in get_snapshot().providers if one.id == _PROVIDER)
    found = {}
    for model in provider.models:
        current = model.get_prices(now)
        prices = {
            kind: _base(value)
            for kind, field in _FIELDS.items()
            if (value := getattr(current, field, None)) is not None
        }
        if "input" in prices:
            found[model.id] = BedrockModel(
                model_id=model.id,
                context=model.context_window,
                prices=MappingProxyType(prices),
            )
    return MappingProxyType(found)


@cache
def data_day() -> date:
    """The newest price change, up to today, that the data knows of."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415

    today = datetime.now(UTC).date()
    days = (
        conditional.constraint.start_date
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for conditional in model.prices
        if isinstance(conditional.constraint, StartDateConstraint)
    )
    return max((day for day in days if day <= today), default=date(2026, 1, 1))


def _base(value: object) -> Decimal:
    """The price of the first tier: larger ones begin at 200,000 prompt tokens or more."""
    return Decimal(str(getattr(value, "base", value)))
