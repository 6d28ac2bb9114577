"""A price, and the names under which prices are looked up, passed and stored.

==============================  ==========================================================
name                            what it is the price of
==============================  ==========================================================
``g5.2xlarge``                  an hour of an EC2 instance, on demand
``g5.2xlarge:spot``             an hour of it as a spot instance
``g5.2xlarge:one-year``         an hour of it under a one-year commitment
``ml.g5.2xlarge``               an hour of a SageMaker instance
``bedrock/ID:input``            a million prompt tokens; ``:output``, ``:cache-read`` and
                                ``:cache-write`` likewise, ``:image`` an image
``bedrock/ID:model-unit``       an hour of a model unit of provisioned throughput;
                                ``:model-unit-one-month`` and ``:model-unit-six-months`` of one
                                that is committed to for so long
``machine:hour``                an hour of a machine of one's own
``alb:hour`` …                  a service, see `SERVICE_UNITS`
==============================  ==========================================================
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final

from pilotage.errors import UsageError
from pilotage.units import printable

HOUR: Final = "USD/h"
MILLION_TOKENS: Final = "USD/Mtok"
GB_MONTH: Final = "USD/GB-month"
GB: Final = "USD/GB"

SERVICE_UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "machine:hour": HOUR,
        "alb:hour": HOUR,
        "alb:lcu-hour": "USD/LCU-h",
        "ebs:gp3-gb-month": GB_MONTH,
        "ecr:gb-month": GB_MONTH,
        "s3:gb-month": GB_MONTH,
        "nat:hour": HOUR,
        "nat:gb": GB,
        "transfer:out-gb": GB,
        "logs:gb": GB,
        "lambda:gb-second": "USD/GB-s",
        "lambda:request": "USD/request",
        "sagemaker:gb": GB,
        "sagemaker:gb-month": GB_MONTH,
        "sagemaker-serverless:gb-second": "USD/GB-s",
    }
)
"""Services that are not instances or models, and the units of their prices. An AWS "GB" of storage
or traffic is 2**30 bytes."""

MARKETS: Final = ("on-demand", "spot", "one-year")
"""How an EC2 instance can be paid."""

TOKEN_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "input": MILLION_TOKENS,
        "output": MILLION_TOKENS,
        "cache-read": MILLION_TOKENS,
        "cache-write": MILLION_TOKENS,
        "image": "USD/image",
        "model-unit": HOUR,
        "model-unit-one-month": HOUR,
        "model-unit-six-months": HOUR,
    }
)
"""What is paid of a provider's model, behind ``bedrock/ID:``, and the units of the prices."""
_INSTANCE: Final = re.compile(r"(ml\.)?[a-z][a-z0-9-]{0,15}\.[a-z0-9-]{2,20}", re.ASCII)
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{1,127}", re.ASCII)
_LARGEST: Final = Decimal(1_000_000)


class UnknownPriceError(UsageError):
    """A price that is in no book and that nobody gave; it is never taken as zero.

    Attributes:
        name: Of the price, as it can be passed.
    """

    def __init__(
        self, message: str, *, name: str = "", where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What something costs.

    Attributes:
        amount: US dollars a `unit`, exact.
        unit: Such as "USD/h" or "USD/Mtok".
        source: Who says so.
        date: The day it was true; of the data, where the source has no day a price.
        region: Where.
    """

    amount: Decimal
    unit: str
    source: str
    date: date
    region: str

    @property
    def cited(self) -> str:
        """Source, region and day in a few words, for the terms of a plan."""
        return f"{self.source}, {self.region}, {self.date.isoformat()}"


def unit_of(name: str) -> str:
    """The unit of the price of that name.

    Raises:
        UsageError: No price can have this name; says which is near.
    """
    if name in SERVICE_UNITS:
        return SERVICE_UNITS[name]
    if name.startswith("bedrock/"):
        model, _, kind = name.removeprefix("bedrock/").rpartition(":")
        if _MODEL.fullmatch(model) and kind in TOKEN_KINDS:
            return TOKEN_KINDS[kind]
        kinds = ", ".join(TOKEN_KINDS)
        raise UsageError(
            f'"{printable(name[:80])}" names no price of a Bedrock model',
            hint=f"Write bedrock/MODEL-ID:KIND, the kinds are {kinds}",
        )
    instance, mark, market = name.partition(":")
    found = _INSTANCE.fullmatch(instance)
    if found and (not mark or (market in MARKETS and not found[1])):
        return HOUR
    near = difflib.get_close_matches(name, SERVICE_UNITS, n=1)
    raise UsageError(
        f'"{printable(name[:80])}" names no price',
        hint=(f'Did you mean "{near[0]}"? ' if near else "")
        + "Names are such as g5.2xlarge, g5.2xlarge:spot, ml.g5.2xlarge, "
        "bedrock/MODEL-ID:input, alb:hour",
    )


def parse_amount(value: object, name: str) -> Decimal:
    """US dollars as a person or a file gives them, exact: 1.52, "1.52".

    Raises:
        UsageError: It is no amount, negative, or larger than a million.
    """
    # A truth is an int to Python, and no price.
    text = "" if isinstance(value, bool) else str(value)
    try:
        # The shortest text of a float is what was written: 1.52, not 1.52000000000000001776.
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise UsageError(
            f'the price of {printable(name[:80])} should be a number, got "{_short(value)}"'
        ) from None
    if not amount.is_finite() or not 0 <= amount <= _LARGEST:
        raise UsageError(
            f"the price of {printable(name[:80])} should be from 0 to 1000000 US dollars, "
            f"got {_short(value)}"
        )
    return amount


def _short(value: object) -> str:
    return printable(str(value)[:40])
