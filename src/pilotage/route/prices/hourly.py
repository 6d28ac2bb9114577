"""Hours shared out to tokens."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import Final

from pilotage.errors import UsageError

_MILLION: Final = Decimal(1_000_000)
_FINEST: Final = Decimal("1e-9")


def amortised(hourly: Decimal, hours: float, tokens: float) -> Decimal:
    """What a million tokens cost of something that is paid by the hour.

    ``hourly * hours / tokens * 1e6``, for what an hour is expected to carry or, after the fact,
    for what the hours have carried. Rounded up at a billionth of a dollar.

    Args:
        hourly: US dollars an hour of all that answers.
        hours: How many were paid.
        tokens: Prompt and completion, of all requests in them.

    Raises:
        UsageError: Hours without tokens have no price a token.
    """
    if tokens <= 0:
        raise UsageError("hours without tokens have no price a token")
    each = hourly * Decimal(str(hours)) / Decimal(str(tokens)) * _MILLION
    return each.quantize(_FINEST, rounding=ROUND_UP)
