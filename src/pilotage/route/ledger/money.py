"""US dollars as whole numbers of atto-dollars (10^-18), so that sums are exact everywhere.

A price in a spec has at most twelve decimals and is for a million tokens: what a token costs has at
most eighteen, and is held exactly. An hourly price shared out by tokens may have more; an attempt's
cost is then rounded once, half to even, as it is written down, and never again.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

LARGEST: Final = Decimal(1_000_000)
"""The most that one attempt is taken to cost: a slip beyond it must not overflow a sum."""

_DECIMALS: Final = 18
_CONTEXT: Final = Context(prec=64, rounding=ROUND_HALF_EVEN)


def atto_of(amount: Decimal) -> int:
    """Atto-dollars of an amount, rounded half to even.

    Raises:
        ValueError: It is not a finite number.
    """
    if not amount.is_finite():
        raise ValueError(f"not an amount of money: {amount}")
    held = max(-LARGEST, min(LARGEST, amount))
    return int(held.scaleb(_DECIMALS, _CONTEXT).to_integral_value(context=_CONTEXT))


def atto_of_sum(amount: Decimal | None) -> int:
    """Atto-dollars of a sum that a database made of such amounts; it has no bound."""
    return 0 if amount is None else int(amount.scaleb(_DECIMALS, _CONTEXT))


def dollars_of(atto: int) -> Decimal:
    """The amount, exact; ``format(amount, "f")`` writes it without powers of ten."""
    return Decimal(atto).scaleb(-_DECIMALS, _CONTEXT).normalize(_CONTEXT)
