"""Response headers that say who answered, why, and for how much."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

TIER: Final = "x-pilotage-tier"
DECISION: Final = "x-pilotage-decision"
COST: Final = "x-pilotage-cost-usd"

_LONGEST: Final = 256


def money_text(amount: Decimal) -> str:
    """US dollars, exact and without an exponent: "0.000125"."""
    return format(amount.normalize(), "f") if amount else "0"


def header_text(text: str) -> str:
    """A text as a header can hold it: one line of printable ASCII."""
    return "".join(one if " " <= one <= "~" else "?" for one in text[:_LONGEST]).strip()
