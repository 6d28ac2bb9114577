"""What model units cost, and for how long one has to pay them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilotage.catalog.prices import PriceBook
from pilotage.errors import UsageError
from pilotage.ship.targets.bedrock_provisioned.request import (
    MONTHS,
    Commitment,
    ThroughputRequest,
)

HOURS_A_MONTH: Final = 730

_KINDS: Final[tuple[tuple[Commitment | None, str], ...]] = (
    (None, "model-unit"),
    ("OneMonth", "model-unit-one-month"),
    ("SixMonths", "model-unit-six-months"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What a purchase costs.

    Attributes:
        units: Model units.
        commitment: How they are paid; None is by the hour.
        usd_per_unit_hour: US dollars.
        source: Who says so.
    """

    units: int
    commitment: Commitment | None
    usd_per_unit_hour: Decimal
    source: str

    @property
    def monthly(self) -> Decimal:
        """US dollars a month of 730 hours."""
        return self.units * self.usd_per_unit_hour * HOURS_A_MONTH

    @property
    def months(self) -> int:
        """Months that are paid whatever happens."""
        return 0 if self.commitment is None else MONTHS[self.commitment]

    @property
    def committed(self) -> Decimal:
        """US dollars that are owed from the moment of the purchase; 0 by the hour."""
        return self.monthly * self.months

    def over(self, months: float) -> Decimal:
        """US dollars for as many months of use: whole terms where there is a term."""
        if not self.months:
            return self.monthly * Decimal(str(months))
        terms = max(1, math.ceil(months / self.months))
        return self.committed * terms

    def sentences(self) -> tuple[str, ...]:
        """What a person has to know before saying yes."""
        each = f"${self.usd_per_unit_hour:,.2f} an hour a unit ({self.source})"
        first = f"{self.units} model unit(s) at {each}: ${self.monthly:,.2f} a month."
        if not self.months:
            return (
                first,
                "No commitment: it is paid by the hour from its creation on, used or not, until "
                "it is deleted.",
            )
        return (
            first,
            f"The commitment of {self.months} month(s) cannot be deleted before its end: "
            f"${self.committed:,.2f} are owed from the purchase on, whatever becomes of it.",
        )


def priced_as(model_id: str) -> str:
    """The id whose units are paid: of an ARN that of the model, or of the one it was made from.

    ``…:custom-model/amazon.nova-lite-v1:0:300k/abcdef`` is paid as ``amazon.nova-lite-v1:0:300k``.
    """
    if not model_id.startswith("arn:"):
        return model_id
    parts = model_id.split("/")
    return parts[1] if len(parts) > 1 else model_id


def spend_of(request: ThroughputRequest, prices: PriceBook) -> Spend:
    """What a request costs.

    Raises:
        UnknownPriceError: Nobody knows it; it is never taken as zero.
    """
    kind = next(kind for commitment, kind in _KINDS if commitment == request.commitment)
    price = prices.price(f"bedrock/{priced_as(request.model_id)}:{kind}")
    return Spend(
        units=request.units,
        commitment=request.commitment,
        usd_per_unit_hour=price.amount,
        source=price.cited,
    )


def offers(model_id: str, units: int, prices: PriceBook) -> tuple[Spend, ...]:
    """Every way to pay whose price is known, the least binding first."""
    found = []
    for commitment, kind in _KINDS:
        try:
            price = prices.find(f"bedrock/{priced_as(model_id)}:{kind}")
        except UsageError:
            return ()  # an ARN: no price can have such a name
        if price is not None:
            found.append(
                Spend(
                    units=units,
                    commitment=commitment,
                    usd_per_unit_hour=price.amount,
                    source=price.cited,
                )
            )
    return tuple(found)


def cheapest(known: tuple[Spend, ...], months: float) -> Spend | None:
    """The way to pay that costs least over so many months; of equals the least binding.

    Args:
        known: See `offers`.
        months: How long the units are needed.
    """
    return min(known, key=lambda one: (one.over(months), one.months), default=None)
