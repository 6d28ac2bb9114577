"""A tier's price from prices of its classes of tokens, some of which may be missing."""

from __future__ import annotations

from decimal import Decimal

from pilotage.route.pricing import TierPrice


def token_price(
    *,
    source: str,
    input: Decimal | None,  # noqa: A002 - as the spec and `TierPrice` call it
    output: Decimal | None,
    cache_read: Decimal | None = None,
    cache_write: Decimal | None = None,
    image: Decimal | None = None,
    request: Decimal | None = None,
) -> TierPrice | None:
    """A price, or None where one that is needed is missing.

    Tokens of the cache cost what others cost where their own price is missing. A zero in the data
    is a gap of the data: who has something for nothing says so in the spec.
    """
    if not input or not output:
        return None
    return TierPrice(
        input=input,
        output=output,
        cache_read=cache_read or input,
        cache_write=cache_write or input,
        image=image or Decimal(0),
        request=request or Decimal(0),
        source=source,
    )
