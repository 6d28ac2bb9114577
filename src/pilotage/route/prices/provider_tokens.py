"""Other providers' prices a token, from the offline data of ``genai-prices`` (MIT)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pilotage.route.prices.bedrock_tokens import bedrock_price
from pilotage.route.prices.token_prices import token_price
from pilotage.route.pricing import TierPrice

_AWS: Final = "aws"
_REGION: Final = re.compile(r"//bedrock[a-z-]*\.([a-z0-9-]+)\.amazonaws\.com", re.ASCII)


def provider_price(
    model: str,
    *,
    provider: str | None,
    url: str | None,
    region: str | None = None,
    home: Path | None = None,
) -> TierPrice | None:
    """What a model's tokens cost at a provider, today; None if nobody says.

    A model is looked for at its provider only: one of the same name elsewhere has another price.
    Where a price rises with the length of the prompt, this is that of the shortest.

    Args:
        model: As the provider calls it.
        provider: Its id in genai-prices; told from the address if None.
        url: Of the backend.
        region: For Bedrock under an OpenAI-compatible address that does not say one.
        home: Likewise.
    """
    # A second of import and a large table: only tiers without a price pay for it.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    snapshot = get_snapshot()
    try:
        sells = snapshot.find_provider(None, provider, None if provider else url)
    except LookupError:
        return None
    if sells.id == _AWS:
        named = _REGION.search(url or "")
        return bedrock_price(model, region=named[1] if named else region, home=home)
    found = sells.find_model(model, all_providers=snapshot.providers)
    if found is None:
        return None
    prices = found.get_prices(datetime.now(UTC))

    def amount(name: str) -> Decimal | None:
        return _base(getattr(prices, name, None))

    output = amount("output_mtok")
    requests = amount("requests_kcount")
    return token_price(
        source=f"genai-prices {version('genai-prices')}: {sells.id}/{found.id}",
        input=amount("input_mtok"),
        # Usage does not tell hidden reasoning apart: never less than was charged.
        output=None if output is None else max(output, amount("output_reasoning_mtok") or output),
        cache_read=amount("cache_read_mtok"),
        cache_write=amount("cache_write_mtok"),
        request=None if requests is None else requests / 1000,
    )


def _base(value: Any) -> Decimal | None:
    """An amount, or the one of its first tier."""
    return None if value is None else Decimal(str(getattr(value, "base", value)))
