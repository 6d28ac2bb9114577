"""The price book: every price a plan may use, and an error for every one that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilotage.catalog.prices.price import Price, UnknownPriceError, unit_of
from pilotage.units import printable

BUILT_IN_REGION: Final = "us-east-1"
"""The one region whose prices come with Pilotage."""

SAGEMAKER_OVER_EC2: Final = (Decimal("1.25"), Decimal("1.40"))
"""SageMaker's price an hour over EC2's of the same type, where both are known
(shared/facts/planning.md, 2026-11-22): the range of an estimate, never a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """What the tokens of a Bedrock model cost on demand, US dollars a million.

    Attributes:
        model_id: Bedrock's.
        input: Prompt tokens.
        output: Completion tokens; None for a model that only reads.
        cache_read: Prompt tokens found in the prompt cache; None where there is no such cache.
        image: An image; None where images are counted as tokens or cannot be sent.
    """

    model_id: str
    input: Price
    output: Price | None = None
    cache_read: Price | None = None
    image: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRange:
    """An estimate: somewhere between two prices."""

    low: Price
    high: Price


class PriceBook:
    """Prices of one region, from several sources; the first that has a price gives it.

    `pilotage.catalog.prices.load_price_book` makes one of the user's values, the refreshed book
    and the built-in tables.

    Args:
        region: All its prices are of this region.
        layers: Lookups by name (see `pilotage.catalog.prices.price`), the most trusted first.
        offered: Instance types that the region has; None when that is not known.
    """

    def __init__(
        self,
        region: str,
        *layers: Callable[[str], Price | None],
        offered: frozenset[str] | None = None,
    ) -> None:
        self.region = region
        self._layers = layers
        self._offered = offered

    def find(self, name: str) -> Price | None:
        """The price of that name, None when nobody knows it.

        Raises:
            UsageError: No price can have this name.
        """
        unit_of(name)
        for layer in self._layers:
            if (price := layer(name)) is not None:
                return price
        return None

    def price(self, name: str) -> Price:
        """The price of that name.

        Raises:
            UnknownPriceError: Nobody knows it; the hint says what to pass.
            UsageError: No price can have this name.
        """
        found = self.find(name)
        if found is None:
            raise self._unknown(name)
        return found

    def ec2(self, instance_type: str, market: str = "on-demand") -> Price:
        """An hour of an EC2 instance; ``market`` is "on-demand", "spot" or "one-year".

        Raises:
            UnknownPriceError: Nobody knows it.
        """
        return self.price(instance_type if market == "on-demand" else f"{instance_type}:{market}")

    def sagemaker(self, instance_type: str) -> Price:
        """An hour of a SageMaker instance; ``instance_type`` with or without its ``ml.``.

        Raises:
            UnknownPriceError: Nobody knows it.
        """
        return self.price(_ml(instance_type))

    def sagemaker_estimate(self, instance_type: str) -> PriceRange:
        """Where SageMaker's price probably lies: 1.25 to 1.40 times EC2's.

        Only for users who asked for an estimate; see `SAGEMAKER_OVER_EC2`.

        Raises:
            UnknownPriceError: EC2's price is not known either.
        """
        base = self.ec2(instance_type.removeprefix("ml."))
        low, high = (
            Price(
                amount=base.amount * factor,
                unit=base.unit,
                source=f"estimate: {factor} x EC2 ({base.source})",
                date=base.date,
                region=base.region,
            )
            for factor in SAGEMAKER_OVER_EC2
        )
        return PriceRange(low=low, high=high)

    def bedrock_tokens(self, model_id: str) -> TokenPrices:
        """What a Bedrock model's tokens cost on demand.

        Raises:
            UnknownPriceError: Nobody knows it.
        """
        return TokenPrices(
            model_id=model_id,
            input=self.price(f"bedrock/{model_id}:input"),
            output=self.find(f"bedrock/{model_id}:output"),
            cache_read=self.find(f"bedrock/{model_id}:cache-read"),
            image=self.find(f"bedrock/{model_id}:image"),
        )

    def bedrock_model_unit(self, model_id: str) -> Price:
        """An hour of one model unit of provisioned throughput: only ever the user's value.

        Raises:
            UnknownPriceError: The user gave none.
        """
        return self.price(f"bedrock/{model_id}:model-unit")

    def offers(self, instance_type: str) -> bool | None:
        """Whether the region has this type; None when that is not known (never refreshed)."""
        return None if self._offered is None else instance_type in self._offered

    def _unknown(self, name: str) -> UnknownPriceError:
        unit = unit_of(name)
        shown = printable(name)
        refresh = (
            ""
            if name.startswith(("bedrock/", "machine:"))
            else f", or take AWS's own with: pilotage catalog refresh --region {self.region}"
        )
        return UnknownPriceError(
            f"the price of {shown} ({unit}) in {self.region} is not known",
            name=name,
            hint=f"Pass it as --price {shown}=AMOUNT, write it into prices.yaml in the Pilotage "
            f"home{refresh}",
        )


def _ml(instance_type: str) -> str:
    return f"ml.{instance_type.removeprefix('ml.')}"
