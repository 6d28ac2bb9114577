"""What an attempt costs: exact decimals, and never zero for want of a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilotage.route.answer import Usage

_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierPrice:
    """What a tier's tokens cost.

    An hourly price is the same with the tokens' share of the hour in ``input`` and ``output``: see
    `pilotage.route.prices`.

    Attributes:
        input: US dollars a million prompt tokens that no cache held.
        output: A million completion tokens.
        cache_read: A million prompt tokens read from the provider's cache.
        cache_write: A million written to it.
        image: An image, beside its tokens.
        request: A request.
        source: Who says so, for reports.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    image: Decimal = Decimal(0)
    request: Decimal = Decimal(0)
    source: str = ""

    def cost(self, usage: Usage) -> Decimal:
        """US dollars of an attempt, exact."""
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        tokens = (
            max(0, usage.prompt_tokens - cached) * self.input
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
            + usage.completion_tokens * self.output
        )
        return tokens / _MILLION + usage.images * self.image + self.request
