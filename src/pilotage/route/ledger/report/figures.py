"""Amounts and shares as a person reads them."""

from __future__ import annotations

from decimal import Decimal


def usd(amount: Decimal | None) -> str:
    """``$12.34``; small amounts with three digits that count, ``$0.000123``."""
    if amount is None:
        return "—"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    places = min(12, 2 - size.adjusted())
    return f"{sign}${size:.{places}f}"


def share(part: float | None) -> str:
    """``12.3 %``."""
    return "—" if part is None else f"{100 * part:.1f} %"


def count(number: int) -> str:
    """``12,345``."""
    return f"{number:,}"
